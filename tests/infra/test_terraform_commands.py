"""Terraform's own opinion: format, validity, tests with a mocked AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.conftest import Answers, skip
from tests.infra.tooling import TREE, Missing, prepared

pytestmark = pytest.mark.timeout(300)


def test_the_configuration_is_formatted(tmp_path: Path) -> None:
    try:
        terraform = prepared(tmp_path, "staging", "http://127.0.0.1:9")
    except Missing as missing:
        skip(missing)
        raise
    code, unformatted = terraform.run("fmt", "-check", "-recursive", str(TREE), codes=(0, 3))
    assert (code, unformatted) == (0, "")


def test_the_parts_keep_their_promises(answers: Answers) -> None:
    told = answers.of("tests")
    assert "Success! 5 passed, 0 failed." in told


def test_staging_is_valid(answers: Answers) -> None:
    assert "The configuration is valid" in answers.of("staging")


def test_production_can_be_planned_without_asking_aws_for_anything(answers: Answers) -> None:
    assert len(answers.of("production")) > 150
