"""The table of routes, typed: what a handler's signature says is what is decoded, checked, answered and documented.

    routes = Routes("jobs")

    @routes.get("/jobs/{job}", needs="jobs:read")
    async def get_job(call: Call, path: JobPath) -> JobAnswer:
        '''One job: state, progress, counts, last error.'''

``path``, ``query`` and ``body`` are msgspec Structs (or, for ``body``, any type msgspec decodes); unknown fields are
refused.  The first line of the docstring is the summary in OpenAPI, the rest its description.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_type_hints

Value = TypeVar("Value")
PLACES = ("path", "query", "body")
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Reply(Generic[Value]):
    """An answer that needs its own status or headers; ``value`` is encoded like any other.

    A handler that answers so is ``-> Reply[JobAnswer]``: the document shows what is within.
    """

    value: Value
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Route:
    """One route.  ``needs`` is a scope, or None for everybody; ``answer`` is the handler's return type.

    ``idempotent`` routes take (and with ``key_required`` demand) an Idempotency-Key; ``problems`` are the codes beyond
    those that every route can answer with.  ``media_type`` is what is answered, ``takes`` what a body must be: JSON, a
    form (``application/x-www-form-urlencoded``, decoded like a query), or another type, which is handed over as bytes.
    ``also`` are other good answers by their status: a type, or None for no body.
    ``free`` routes count towards no limit: they are asked by machines that look after this one.  ``example`` is a body
    that can be sent as it stands.
    """

    method: str
    path: str
    tag: str
    needs: str | None
    handler: Callable[..., Awaitable[Any]]
    status: int
    inputs: Mapping[str, Any]
    answer: Any
    idempotent: bool = False
    key_required: bool = False
    problems: tuple[str, ...] = ()
    media_type: str = "application/json"
    takes: str = "application/json"
    free: bool = False
    also: Mapping[int, Any] = field(default_factory=dict)
    example: Mapping[str, Any] | None = None

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """The rest of it."""
        return (inspect.getdoc(self.handler) or "").partition("\n")[2].strip()


class Routes:
    """The routes of one area, in the order they were written."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def get(self, path: str, *, needs: str | None, **more: Any) -> Callable[[Handler], Handler]:
        """Add a question."""
        return self._add("GET", path, needs=needs, **more)

    def post(self, path: str, *, needs: str | None, status: int = 200, **more: Any) -> Callable[[Handler], Handler]:
        """Add something to be done."""
        return self._add("POST", path, needs=needs, status=status, **more)

    def put(self, path: str, *, needs: str | None, **more: Any) -> Callable[[Handler], Handler]:
        """Add a replacement."""
        return self._add("PUT", path, needs=needs, **more)

    def patch(self, path: str, *, needs: str | None, **more: Any) -> Callable[[Handler], Handler]:
        """Add a change."""
        return self._add("PATCH", path, needs=needs, **more)

    def delete(self, path: str, *, needs: str | None, status: int = 204, **more: Any) -> Callable[[Handler], Handler]:
        """Add a removal."""
        return self._add("DELETE", path, needs=needs, status=status, **more)

    def _add(
        self,
        method: str,
        path: str,
        *,
        needs: str | None,
        status: int = 200,
        idempotent: bool = False,
        key_required: bool = False,
        problems: tuple[str, ...] = (),
        media_type: str = "application/json",
        takes: str = "application/json",
        free: bool = False,
        also: Mapping[int, Any] | None = None,
        example: Mapping[str, Any] | None = None,
    ) -> Callable[[Handler], Handler]:
        def keep(handler: Handler) -> Handler:
            hints = get_type_hints(handler, include_extras=True)
            self._routes.append(
                Route(
                    method=method,
                    path=path,
                    tag=self.tag,
                    needs=needs,
                    handler=handler,
                    status=status,
                    inputs={place: hints[place] for place in PLACES if place in hints},
                    answer=hints.get("return"),
                    idempotent=idempotent or key_required,
                    key_required=key_required,
                    problems=problems,
                    media_type=media_type,
                    takes=takes,
                    free=free,
                    also=also or {},
                    example=example,
                )
            )
            return handler

        return keep
