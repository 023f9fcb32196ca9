"""The readable page of the OpenAPI document: one static HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape
from shlex import quote
from typing import Any

Node = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --soft: color-mix(in srgb, currentColor 12%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem; }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { background: var(--soft); border-radius: 6px; overflow-x: auto; padding: .7rem; }
nav { columns: 16rem; margin: 1rem 0 2rem; }
nav a { display: block; text-decoration: none; }
h2 { border-bottom: 1px solid var(--soft); margin-top: 2.5rem; }
details { border: 1px solid var(--soft); border-radius: 6px; margin: .6rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; }
.method { display: inline-block; font-weight: 700; width: 4.5rem; }
.scope { float: right; opacity: .7; }
table { border-collapse: collapse; width: 100%; }
td, th { border-top: 1px solid var(--soft); padding: .25rem .6rem .25rem 0; text-align: left; vertical-align: top; }
"""
_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
CSP = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The page's own policy: its one style sheet, and nothing else from anywhere."""


def page(document: Node) -> str:
    """Write the page."""
    info, tags = document["info"], [tag["name"] for tag in document["tags"]]
    links = "".join(f"<a href='#{escape(tag)}'>{escape(tag)}</a>" for tag in tags)
    parts = [
        f"<h1>{escape(info['title'])} API</h1>",
        "".join(f"<p>{_words(text)}</p>" for text in info["description"].split("\n\n")),
        f"<nav>{links}</nav>",
        *(_area(document, tag) for tag in document["tags"]),
        "<h2 id='schemas'>Shapes</h2>",
        *(_shape(name, schema) for name, schema in document["components"]["schemas"].items()),
    ]
    head = f"<meta charset='utf-8'><title>{escape(info['title'])} API</title><style>{STYLE}</style>"
    view = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    return f"<!doctype html><html lang='en'><head>{head}{view}</head><body>{''.join(parts)}</body></html>"


def _area(document: Node, tag: Node) -> str:
    name = escape(tag["name"])
    own = [_operation(document, *one) for one in _operations(document) if tag["name"] in one[2]["tags"]]
    return f"<h2 id='{name}'>{name}</h2><p>{_words(tag['description'])}</p>{''.join(own)}"


def _operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _operation(document: Node, path: str, method: str, operation: Node) -> str:
    scopes = sorted({scope for one in operation["security"] for names in one.values() for scope in names})
    scope = f"<span class='scope'>{escape(', '.join(scopes) or 'open')}</span>"
    parts = [
        f"<details id='{escape(operation['operationId'])}'><summary>{scope}<span class='method'>{method}</span>"
        f"<code>{escape(path)}</code> {_words(operation['summary'])}</summary>",
        f"<p>{_words(operation['description'])}</p>" if "description" in operation else "",
        _parameters(operation["parameters"]),
        _body(operation),
        _answers(document, operation["responses"]),
        f"<pre>{escape(curl(path, method, operation))}</pre></details>",
    ]
    return "".join(parts)


def _parameters(parameters: list[Node]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{one['in']}{'' if one['required'] else ', optional'}</td>"
        f"<td><code>{escape(_kind(one['schema']))}</code></td><td>{_words(one.get('description', ''))}</td></tr>"
        for one in parameters
    )
    return f"<table><tr><th>parameter</th><th>where</th><th>what</th><th></th></tr>{rows}</table>"


def _body(operation: Node) -> str:
    if "requestBody" not in operation:
        return ""
    return "".join(
        f"<p>Body: <code>{escape(kind)}</code>, {_link(content['schema'])}</p>"
        for kind, content in operation["requestBody"]["content"].items()
    )


def _answers(document: Node, responses: Node) -> str:
    rows = []
    for status, response in responses.items():
        if "$ref" in response:
            name = response["$ref"].rpartition("/")[2]
            shown = document["components"]["responses"][name]
            rows.append(f"<tr><td>{status}</td><td>{_words(shown['description'])}</td></tr>")
        else:
            kinds = [
                f"<code>{escape(kind)}</code> {_link(content['schema'])}"
                for kind, content in response.get("content", {}).items()
            ]
            rows.append(f"<tr><td>{status}</td><td>{_words(response['description'])} {', '.join(kinds)}</td></tr>")
    return f"<table><tr><th>answer</th><th></th></tr>{''.join(rows)}</table>"


def _shape(name: str, schema: Node) -> str:
    written = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    title = f"<summary><code>{escape(name)}</code></summary>"
    return f"<details id='schema-{escape(name)}'>{title}<pre>{written}</pre></details>"


def curl(path: str, method: str, operation: Node) -> str:
    """Write the command that asks it; ``$HOST``, ``$TOKEN``, ``$KEY`` and what the path names are the reader's."""
    where = re.sub(r"\{(\w+)\}", lambda part: f"${part[1].upper()}_ID", path)
    words = [f"curl{'' if method == 'GET' else f' -X {method}'} $HOST{where}"]
    if operation["security"]:
        words.append('-H "Authorization: Bearer $TOKEN"')
    if any(one["name"] == "Idempotency-Key" for one in operation["parameters"]):
        words.append('-H "Idempotency-Key: $KEY"')
    kinds = operation.get("requestBody", {}).get("content", {})
    for kind, content in kinds.items():
        words += _sent(kind, content.get("example", {}))
    return " \\\n  ".join(words)


def _sent(kind: str, example: Node) -> list[str]:
    if kind == "application/x-www-form-urlencoded":
        return [f"--data-urlencode {quote(f'{name}={value}')}" for name, value in example.items()]
    return [f"-H 'Content-Type: {kind}'", f"--data {quote(json.dumps(example, ensure_ascii=False))}"]


def _kind(schema: Node) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_kind, schema["anyOf"]))
    bounds = [f"{word} {schema[name]}" for name, word in (("minimum", "from"), ("maximum", "to")) if name in schema]
    usual = [f"default {schema['default']}"] if "default" in schema else []
    return " ".join([str(schema.get("format", schema.get("type", "any"))), *bounds, *usual])


def _link(schema: Node) -> str:
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    if schema.get("type") == "array" and "items" in schema:
        return f"list of {_link(schema['items'])}"
    if "anyOf" in schema:
        return " or ".join(map(_link, schema["anyOf"]))
    return f"<code>{escape(_kind(schema))}</code>"


def _words(text: str) -> str:
    """Escape prose, and show what stands between backticks as code."""
    shown = escape(text.replace("``", "`")).split("`")
    return "".join(f"<code>{one}</code>" if at % 2 else one for at, one in enumerate(shown))
