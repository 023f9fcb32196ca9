"""What the documentation names is there: files, commands, make targets, variables; its blocks can be executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from ops.cli import sluice
from ops.settings import Settings
from tests.documents import MARGIN, PAGES, TOP, WORD, Block, blocks, prose, spoken, targets

BLOCKS = [block for page in PAGES for block in blocks(page)]


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "json" and block.reason is None], ids=str
)
def test_json_examples_parse(block: Block) -> None:
    json.loads(block.text)


def test_commands_are_written_in_a_language_that_is_executed() -> None:
    assert [str(block) for block in BLOCKS if block.language == "console" and not block.commands] == []
    assert [str(block) for block in BLOCKS if block.language in ("sh", "bash", "shell", "py", "pycon", "jsonc")] == []
    assert [str(block) for block in BLOCKS if not block.language and re.search(r"^\$ ", block.text, re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_opt_out_gives_its_reason_right_before_a_block(page: Path) -> None:
    comments = re.findall(r"<!--.*?-->", page.read_text(encoding="utf-8"), re.DOTALL)
    assert [comment for comment in comments if not MARGIN.fullmatch(comment)] == []
    assert len(comments) == sum(block.reason is not None or block.exits != 0 for block in blocks(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        there = page.parent / name if name else page
        if not there.exists() or (heading and heading not in headings(there)):
            lost.append(target)
    assert lost == []


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", [*PAGES, TOP / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    calls = [call for code in spoken(page) for call in re.findall(rf"(?:^|[ /])sluice((?: {WORD})+)(?= |$)", code)]
    named = [call.split() for call in calls]
    assert [" ".join(words) for words in named if not is_command(sluice, words)] == []


def is_command(command: click.Command, words: list[str]) -> bool:
    """Whether these words lead down the tree of commands; behind a command's own name may stand anything."""
    if not isinstance(command, click.Group) or not words:
        return True
    below = command.get_command(click.Context(command), words[0])
    return below is not None and is_command(below, words[1:])


@pytest.mark.parametrize("page", [*PAGES, TOP / "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    named = {target for code in spoken(page) for target in re.findall(rf"^make ({WORD})", code)}
    assert named - targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_that_is_named_is_read(page: Path) -> None:
    assert set(re.findall(r"\bSLUICE_[A-Z_]+\b(?!_)", page.read_text(encoding="utf-8"))) - variables() == set()


class Listening(Mapping[str, str]):
    """An empty environment that remembers what was looked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def variables() -> set[str]:
    """The names that the settings look for."""
    environment = Listening()
    Settings.from_env(environment)
    return environment.asked


PLACES = r"`((?:broker|workers|ledger|gateway|ops|tests|docs)/[\w./-]+\.\w+)`(?: \(`(\w+)`\))?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_is_there_with_what_is_named_in_it(page: Path) -> None:
    lost = []
    for path, name in re.findall(PLACES, prose(page)):
        if not (TOP / path).is_file() or not re.search(
            rf"\b(?:def|class) {name}\b" if name else "", (TOP / path).read_text()
        ):
            lost.append(f"{path} {name}")
    assert lost == []
