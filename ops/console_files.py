"""The operators' console as a gateway hands it out, under ``/console/``: the files that nginx serves in production.

They come past no rate limit: they are small and in memory, and say nothing that is not in the repository.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.edge.passage import PASSAGE

FOLDER = Path(__file__).parent / "console"
PREFIX = "/console"
CSP = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
"""What the pages may do, the same as in ops/compose/console.conf: load and ask where they came from, nothing inline."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def serve_console(app: web.Application, folder: Path = FOLDER) -> bool:
    """Add the console to an application that does not run yet; False where there is none to serve.

    Only the files that are there now are served, by their names: no path of a request ever reaches the disk.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.suffix in _TYPES}
    if "index.html" not in files:
        return False
    for name, path in files.items():
        app.router.add_get(f"{PREFIX}/{name}", _handler(path))
    app.router.add_get(f"{PREFIX}/", _handler(files["index.html"]))
    app.router.add_get(PREFIX, _to_folder)
    return True


def _handler(path: Path) -> Handler:
    body = path.read_bytes()
    headers = {"Content-Type": _TYPES[path.suffix], "Content-Security-Policy": CSP, "Cache-Control": "no-cache"}

    async def handle(request: web.Request) -> web.StreamResponse:
        request[PASSAGE].route = f"GET {PREFIX}"
        return web.Response(body=body, headers=headers)

    return handle


async def _to_folder(request: web.Request) -> web.StreamResponse:
    """Names in the page are relative: without the last slash they would lead elsewhere."""
    request[PASSAGE].route = f"GET {PREFIX}"
    return web.Response(status=308, headers={"Location": f"{PREFIX}/"})
