"""The providers, one file each, found by their ``PROVIDER``; nothing in here does input or output."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from workers.items import Provider


def load_providers() -> dict[str, Provider]:
    """Find every provider in this folder, by name.  Raises ValueError when two have the same name."""
    found: dict[str, Provider] = {}
    for module in sorted(iter_modules(__path__), key=lambda each: each.name):
        provider: Provider | None = getattr(import_module(f"{__name__}.{module.name}"), "PROVIDER", None)
        if provider is None:
            continue
        if provider.name in found:
            raise ValueError(f"two providers are named {provider.name!r}")
        found[provider.name] = provider
    return found
