"""Which servers to use: those that are set, else the embedded ones that ``sluice up`` runs under ``var/``."""

from __future__ import annotations

from ops.embedded import attach
from ops.settings import BadSetting, Settings


def located(settings: Settings) -> Settings:
    """Give settings whose three URLs are known; raise BadSetting, with what to do, where nothing runs."""
    if settings.external:
        return settings
    urls = attach(settings.var)
    if urls is None:
        raise BadSetting(
            "nothing is running here: start it with `make up` in another terminal, or set SLUICE_DATABASE_URL,"
            " SLUICE_REDIS_URL and SLUICE_BROKER_URL"
        )
    return settings.with_servers(urls)
