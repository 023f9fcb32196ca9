"""Everything that can be asked, an area each; ``AREAS`` is the whole table of routes, in the order of the documents."""

from __future__ import annotations

from gateway.routes import Routes

AREAS: tuple[Routes, ...] = ()
