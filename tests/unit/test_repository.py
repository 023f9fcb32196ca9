"""What the repository itself promises: nothing of one machine in it, nothing secret, nothing half done, all pinned."""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
import string
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).parents[2]
LOCKS = {"requirements.lock": "", "requirements-dev.lock": "dev", "requirements-bench.lock": "bench"}

SYSTEM_FOLDERS = ("/", "/app", "/build", "/builds", "/home", "/mnt", "/opt", "/srv", "/src", "/tmp", "/usr/src")
HOME = r"(?<![\w.$}])/(?:home/\w|root/|Users/\w)|[A-Z]:\\\\?Users"
REGISTRY = (
    r"pypi\.(?:org|python)|pythonhosted|registry\.npm|proxy\.golang|crates\.io|anaconda\.org|artifactory|nexus"
    r"|--(?:extra-)?index-url|--find-links|--trusted-host|PIP_INDEX|UV_INDEX"
)
SECRET = r"AKIA[0-9A-Z]{16}|\bgh[pousr]_\w{20}|\bxox[abp]-\w|\bsk-\w{20}|\beyJ\w{10,}\.|BEGIN [A-Z ]*PRIVATE KEY"
HALF_DONE = r"\b(?:TODO|FIXME|XXX|HACK|WIP)\b"
OUTSIDE = r"(?<![\w/.-])(?:\.\./)*shared/\w|/ [\"']shared[\"']"

UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"  # the id of a row opens nothing
INVENTED = {
    "0123456789abcdef0123456789abcdef01234567",  # a token, as long as a real one, that nobody would be given
    "0x00aa11bb22cc33dd44ee55ff66001122334455ab",  # an address on a chain
    "elbsecuritypolicy-tls13-1-2-2021-06",  # what AWS calls a choice of ciphers
}


@cache
def texts() -> dict[str, str]:
    """Every file of the repository by its name, but for this one, which names what no other may."""
    # Not asked of git: a copy without it is read the same way.
    ignored = [".git", *(line.rstrip("/") for line in (TOP / ".gitignore").read_text().split())]

    def kept(names: list[str]) -> list[str]:
        return [name for name in names if not any(fnmatch.fnmatch(name, one) for one in ignored)]

    found: dict[str, str] = {}
    for folder, folders, files in os.walk(TOP):
        folders[:] = kept(folders)
        paths = (Path(folder, name) for name in kept(files))
        found |= {str(path.relative_to(TOP)): path.read_text(errors="replace") for path in paths}
    del found[str(Path(__file__).relative_to(TOP))]
    return found


def found(pattern: str, *, locks: bool = False) -> list[str]:
    """Where a pattern stands: ``file:line: what``."""
    return [
        f"{name}:{number}: {match[0]}"
        for name, text in texts().items()
        if locks or name not in LOCKS
        for number, line in enumerate(text.splitlines(), 1)
        for match in re.finditer(pattern, line)
    ]


def test_nothing_names_a_folder_of_one_machine() -> None:
    own = [str(folder) for folder in (TOP, TOP.parent) if str(folder) not in SYSTEM_FOLDERS]
    assert found("|".join([HOME, *(rf"(?<![\w.-]){re.escape(folder)}(?![\w-])" for folder in own)]), locks=True) == []


def test_nothing_names_a_package_registry() -> None:
    assert found(REGISTRY, locks=True) == []


def test_nothing_looks_like_a_real_key() -> None:
    assert found(SECRET) == []
    assert [place for place in found(r"(?<![\w-])[\w-]{32,}(?![\w-])") if looks_random(place.rpartition(" ")[2])] == []


def looks_random(word: str) -> bool:
    """Whether a long word is made of chance: many different digits and letters, and not on our own list."""
    alphabet = len(set(word)) == len(word)  # nothing comes twice: chance would not do that
    if alphabet or word.lower() in INVENTED or re.fullmatch(UUID, word):
        return False
    return len(set(word) & set(string.digits)) >= 4 and len(set(word.lower())) >= 10 and not word.startswith("test_")


@pytest.mark.parametrize(
    ("word", "random"),
    [
        ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", True),
        ("Zk3vQ81mXw07Lp9RtYb25NcHs64Jd3vAe7o", True),
        ("0123456789abcdef0123456789abcdef01234567", False),
        ("00000000000000000000000000000007", False),
        (string.ascii_letters + string.digits + "-", False),
        ("01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f", False),
        ("test_posting_twice_writes_once_and_says_so", False),
    ],
)
def test_a_key_is_told_from_a_name(word: str, random: bool) -> None:
    assert looks_random(word) is random


def test_what_lies_outside_is_read_only_by_tests_that_skip_without_it() -> None:
    readers = {place.partition(":")[0] for place in found(OUTSIDE)}
    assert [name for name in readers if not (name.startswith("tests/") and skips_without(texts()[name]))] == []


def skips_without(text: str) -> bool:
    return re.search(r"pytest\.(?:mark\.)?skip", text) is not None


def test_nothing_is_left_half_done() -> None:
    assert found(HALF_DONE) == []


def test_every_make_target_has_its_line_of_help() -> None:
    makefile = texts()["Makefile"]
    targets = re.findall(r"^([\w-]+):(?!=)", makefile, re.MULTILINE)
    helped = re.findall(r"^([\w-]+):[^=\n]*?## \S.*$", makefile, re.MULTILINE)
    phony = re.findall(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    assert targets == helped
    assert sorted(targets) == sorted(" ".join(phony).split())


def test_the_changelog_says_what_is_unreleased() -> None:
    headings = re.findall(r"^## (.*)$", texts()["CHANGELOG.md"], re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])


def pins(lock: str) -> dict[str, str]:
    """Each package of a lock file and its only version."""
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", texts()[lock], re.MULTILINE)
    }


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_one_version_and_its_hashes_for_every_package(lock: str) -> None:
    requirements = texts()[lock].replace("\\\n", " ").splitlines()
    package = r"[\w.-]+==[\w.!+-]+(?: ; [^#]+?)?"
    wrong = [one for one in requirements if not re.fullmatch(rf"{package}(?:\s+--hash=sha256:[0-9a-f]{{64}})+\s*", one)]
    assert [one[:80] for one in wrong] == []


@pytest.mark.parametrize(("lock", "extra"), LOCKS.items())
def test_a_lock_fits_what_setup_cfg_asks_for(lock: str, extra: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(TOP / "setup.cfg")
    asked = setup["options"]["install_requires"] + (setup["options.extras_require"][extra] if extra else "")
    locked = pins(lock)
    missing = []
    for requirement in map(Requirement, asked.split()):
        version = locked.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            missing.append(f"{requirement}: {version}")
    assert missing == []


@pytest.mark.parametrize("lock", [name for name, extra in LOCKS.items() if extra])
def test_the_locks_agree_with_one_another(lock: str) -> None:
    more = pins(lock)
    assert {name: more.get(name) for name in pins("requirements.lock")} == pins("requirements.lock")
