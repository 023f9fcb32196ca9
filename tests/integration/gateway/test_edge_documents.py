"""The gateway describes itself, wholly and truly."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp import ClientSession
from jsonschema import Draft202012Validator

from gateway.app import TABLE
from gateway.docspage import CSP
from gateway.edge.settings import EdgeSettings
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.front import open_front


@pytest.fixture
async def described(nobody: ClientSession) -> dict[str, Any]:
    """The document, as anybody gets it."""
    async with nobody.get("openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        found: dict[str, Any] = await answer.json()
        return found


async def test_case_67_every_route_is_in_the_document_and_the_reverse(
    gateway: Gateway, described: dict[str, Any]
) -> None:
    written = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    answered = {
        (route.method, route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert written == answered == {(route.method, route.path) for route in gateway.app[TABLE]}
    assert not any(re.search("debug|metrics", path) for _, path in answered)


async def test_case_67_without_the_page_there_is_no_page() -> None:
    async with open_front(settings=EdgeSettings(docs_page=False)) as front:
        answer = await front.ask("GET", "/api/v1/docs")
    assert answer.status == 404


async def test_every_operation_says_who_may_ask_and_how_it_refuses(described: dict[str, Any]) -> None:
    operations = [one for methods in described["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"], one["operationId"]
        assert "500" in one["responses"]
        if one["security"]:
            assert {"401", "403", "429", "503"} <= one["responses"].keys()
            (scope,) = {scope for scheme in one["security"] for scopes in scheme.values() for scope in scopes}
            assert scope in described["components"]["securitySchemes"]["token"]["flows"]["password"]["scopes"]
            good = next(body for status, body in one["responses"].items() if status < "300")
            assert {"X-RateLimit-Limit", "RateLimit", "RateLimit-Policy", "X-Request-Id"} <= good["headers"].keys()


async def test_every_reference_leads_somewhere_and_every_shape_is_a_schema(described: dict[str, Any]) -> None:
    for reference in set(references(described)):
        target: Any = described
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def references(node: Any) -> list[str]:
    """Every ``$ref`` below this."""
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [one for value in node.values() for one in references(value)]
    return [one for value in node for one in references(value)] if isinstance(node, list) else []


class Loads(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.ids: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [f"{tag} {name}" for name in named if name in ("src", "style", "action") or name.startswith("on")]
        if tag in ("script", "link", "img", "iframe", "object"):
            self.found.append(tag)
        self.ids |= {named["id"] or ""} if "id" in named else set()
        self.links |= {named["href"] or ""} if "href" in named else set()


async def test_the_page_shows_every_operation_and_loads_and_runs_nothing(
    nobody: ClientSession, described: dict[str, Any]
) -> None:
    async with nobody.get("docs") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers.getall("Content-Security-Policy") == [CSP]
        text = await answer.text()
    loads = Loads()
    loads.feed(text)
    assert loads.found == []
    assert {link.removeprefix("#") for link in loads.links} <= loads.ids
    assert {one["operationId"] for methods in described["paths"].values() for one in methods.values()} <= loads.ids
