"""What the documentation holds: its fenced blocks, the commands in them, its links and the names in its prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
PAGES = (TOP / "README.md", *sorted((TOP / "docs").rglob("*.md")))
WORD = "[a-z][a-z-]*"  # a command, or a target of make
MARGIN = re.compile(r"<!-- (?:not executed: (?P<reason>\S.*?)|exits (?P<exits>\d+)) -->")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it begins, its language, and what the comment right before it says.

    ``reason`` says why it is not executed, None where it is; ``exits`` is the status that each command ends with.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None = None
    exits: int = 0

    def __str__(self) -> str:
        return f"{self.page.relative_to(TOP)}:{self.line}"

    @property
    def commands(self) -> Sequence[str]:
        """The lines that a person types; what stands between them is what they see."""
        typed = re.findall(r"^\$ ((?:.*\\\n)*.*)$", self.text, re.MULTILINE)
        return [re.sub(r"\\\n(?:> )?\s*", "", one).strip() for one in typed]


def blocks(page: Path) -> Iterator[Block]:
    """Read a page's blocks from its top to its end; raise ValueError for a fence that never closes."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = next((n for n in range(at + 1, len(lines)) if lines[n].rstrip() == "```"), None)
        if end is None:
            raise ValueError(f"{page}:{at + 1}: the block never ends")
        said = MARGIN.fullmatch(_before(lines, at))
        yield Block(
            page=page,
            line=at + 1,
            language=lines[at][3:].strip(),
            text="\n".join(lines[at + 1 : end]) + "\n",
            reason=said and said["reason"],
            exits=int(said["exits"] or 0) if said else 0,
        )
        at = end + 1


def _before(lines: Sequence[str], at: int) -> str:
    """The last line with something on it before this one."""
    return next((line.strip() for line in reversed(lines[:at]) if line.strip()), "")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def spoken(page: Path) -> Iterator[str]:
    """Everything that is written as code: spans in the prose, and the commands of blocks."""
    for span in re.findall(r"`([^`]+)`", prose(page)):
        yield " ".join(span.split())
    for block in blocks(page):
        yield from block.commands


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(rf"^({WORD}):(?!=)", (TOP / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
