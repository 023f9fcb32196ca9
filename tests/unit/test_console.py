"""The operators' console as text: it parses, runs under its policy, builds no markup, and asks what the API has."""

from __future__ import annotations

import configparser
import inspect
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.api import AREAS
from gateway.app import PREFIX, under
from gateway.openapi import document
from ops.console_files import CSP, FOLDER

TOP = Path(__file__).parents[2]
FILES = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}
PARSE = """
const { SourceTextModule } = require("node:vm");
const { readFileSync } = require("node:fs");
for (const path of process.argv.slice(1)) new SourceTextModule(readFileSync(path, "utf8"), { identifier: path });
"""
MARKUP = r"(?:inner|outer)HTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
RUN = r"\beval\(|new Function|javascript:|setTimeout\([\"'`]"
KEPT = r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\."


def test_every_script_parses() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on this machine")
    paths = [str(FOLDER / name) for name in SCRIPTS]
    done = subprocess.run(
        [node, "--experimental-vm-modules", "--eval", PARSE, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    page = FILES["index.html"]
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)[^>]*>|<base", page) == []
    assert re.findall(r"<script[^>]*>[^<]", page) == []
    used = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert [name for name in used if name not in FILES] == []
    assert re.findall(r"url\(|@import", FILES["console.css"]) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_runs_text_or_keeps_anything(name: str) -> None:
    assert re.findall(f"{MARKUP}|{RUN}|{KEPT}", SCRIPTS[name]) == []
    assert re.findall(r"setAttribute\(\s*[\"'](?:style|on\w+)", SCRIPTS[name]) == []
    assert re.findall(r"https?://", SCRIPTS[name]) == []


def test_every_import_leads_to_a_file_and_every_script_is_used() -> None:
    reached, todo = set[str](), ["main.js"]
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        todo += [_beside(name, target) for target in re.findall(r"from \"([^\"]+)\"", SCRIPTS[name])]
    assert reached == SCRIPTS.keys()


def _beside(name: str, target: str) -> str:
    return (FOLDER / name).parent.joinpath(target).resolve().relative_to(FOLDER.resolve()).as_posix()


def asked() -> list[tuple[str, str, str]]:
    """Every request that the scripts make: file, method, path."""
    found = []
    for name, text in SCRIPTS.items():
        found += [(name, verb.upper(), path) for verb, path in re.findall(r"api\.(\w+)\(\s*\"([^\"]+)\"", text)]
        found += [(name, verb, path) for verb, path in re.findall(r"send\(\"([A-Z]+)\", \"([^\"]+)\"", text)]
    return found


def test_every_request_is_in_the_openapi_document() -> None:
    paths: dict[str, Any] = document(under(AREAS, PREFIX), server=None)["paths"]
    assert len(asked()) > 25
    unknown = [one for one in asked() if one[1].lower() not in paths.get(PREFIX + one[2], {})]
    assert unknown == []


def test_no_request_is_made_of_words_that_only_the_running_page_knows() -> None:
    calls = [
        (name, call)
        for name, text in SCRIPTS.items()
        for call in re.findall(r"\bapi\.(?:get|post|patch)\(\s*(?!\")[^)\n]*", text)
    ]
    assert calls == []
    assert [name for name, text in SCRIPTS.items() if "fetch(" in text] == ["api.js"]


def test_what_is_recorded_when_it_is_read_is_not_read_again_by_itself() -> None:
    recorded = {
        one.path for area in AREAS for one in area if one.method == "GET" and "note(" in inspect.getsource(one.handler)
    }
    assert {"/audit", "/dead-letters", "/admin/jobs"} <= recorded
    readers = {name for name, verb, path in asked() if verb == "GET" and path in recorded}
    by_itself = {name for name, text in SCRIPTS.items() if re.search(r"every_s: \d", text)}
    assert readers & by_itself == set()
    assert len(by_itself) == 5


def test_gateways_and_nginx_serve_it_under_the_same_policy() -> None:
    told = re.findall(r"Content-Security-Policy \"([^\"]+)\"", (TOP / "ops" / "compose" / "console.conf").read_text())
    assert told == [CSP]
    assert "unsafe" not in CSP


def test_the_package_has_every_file_of_it() -> None:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    patterns = setup["options.package_data"]["ops"].replace("\n", ",").split(",")
    packed = {path for pattern in patterns for path in (TOP / "ops").glob(pattern.strip())}
    assert [name for name in FILES if FOLDER / name not in packed] == []
