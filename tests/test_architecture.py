"""The shape of the code as rules: who may import whom, who reads the environment, what a module may be called."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
PACKAGES = tuple(sorted(path.parent.name for path in TOP.glob("*/__init__.py") if path.parent.name != "tests"))
SOURCES = tuple(sorted(path for package in PACKAGES for path in (TOP / package).rglob("*.py")))
EVERYTHING = (*SOURCES, *sorted((TOP / "tests").rglob("*.py")))
LINES_MAX = 400
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
ONLY_READER = TOP / "ops" / "settings.py"
READS_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
# Entry points: Alembic runs the first inside a context that it has made, Dramatiq's own command is given the second.
ENTRY_POINTS = {TOP / "ledger" / "migrations" / "env.py", TOP / "ops" / "stock.py"}
IMPORT_ALL = """
import importlib, socket, subprocess, sys, threading

def forbidden(*_: object, **__: object) -> None:
    raise AssertionError("importing must not do this")

socket.socket.connect = socket.socket.bind = socket.getaddrinfo = forbidden
subprocess.Popen.__init__ = forbidden
threads = threading.active_count()
for name in sys.argv[1:]:
    importlib.import_module(name)
    assert threading.active_count() == threads, f"{name} starts a thread"
"""


def relative(path: Path) -> str:
    return str(path.relative_to(TOP))


def trees(paths: tuple[Path, ...]) -> Iterator[tuple[Path, ast.AST]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            yield path, node


def names(node: ast.AST) -> set[str]:
    """Every word that an expression mentions: variables and attributes."""
    words = (getattr(part, "id", None) or getattr(part, "attr", None) for part in ast.walk(node))
    return {word for word in words if word}


def test_imports_go_down_a_row_never_up_never_sideways() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_top_level_package_is_under_the_contract_and_in_the_distribution() -> None:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    assert PACKAGES == ("broker", "gateway", "ledger", "ops", "workers")
    assert set(setup["importlinter"]["root_packages"].split()) == set(PACKAGES)
    assert {name.rstrip("*") for name in setup["options.packages.find"]["include"].split()} == set(PACKAGES)
    assert set(setup["importlinter:contract:layers"]["layers"].replace("|", " ").split()) == set(PACKAGES)
    assert all((TOP / name / "py.typed").exists() for name in PACKAGES)


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in SOURCES}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_only_the_settings_read_the_environment() -> None:
    readers = {
        relative(path)
        for path, node in trees(SOURCES)
        if (isinstance(node, ast.Attribute) and node.attr in READS_ENVIRONMENT and names(node.value) == {"os"})
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and {a.name for a in node.names} & READS_ENVIRONMENT
        )
    }
    assert readers == {relative(ONLY_READER)}


def test_embedded_and_production_are_one_code_path() -> None:
    forks = [
        f"{relative(path)}:{node.lineno}"
        for path, node in trees(SOURCES)
        if isinstance(node, ast.If | ast.IfExp | ast.While) and any("embedded" in name for name in names(node.test))
    ]
    assert forks == []


def test_a_module_is_named_for_what_it_is() -> None:
    assert [relative(path) for path in EVERYTHING if path.stem in VAGUE or path.parent.name in VAGUE] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=relative)
def test_a_file_has_one_job_and_so_few_lines(path: Path) -> None:
    lines = path.read_text().count("\n")
    assert lines <= LINES_MAX


def test_importing_never_connects_starts_a_process_or_a_thread() -> None:
    modules = [
        ".".join(path.relative_to(TOP).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path not in ENTRY_POINTS and path.stem != "__main__"
    ]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *modules], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
