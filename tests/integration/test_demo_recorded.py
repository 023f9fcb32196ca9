"""The main job over real recorded answers, as the demo runs it: every id once, and a second run adds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RECORDED = Path(__file__).parents[3] / "shared" / "providers" / "recorded"
COUNTS = ("found", "new", "duplicate", "amended", "observed", "lost")


def demo(var: Path) -> dict[str, Any]:
    words = [sys.executable, "-m", "ops.cli", "demo", "--recorded", str(RECORDED), "--json"]
    environment = {**os.environ, "SLUICE_VAR": str(var)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True, timeout=110)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers lie beside the checkout, and are not there")
@pytest.mark.timeout(240)
def test_every_recorded_id_is_kept_once_and_a_second_run_adds_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    var = tmp_path_factory.mktemp("recorded")
    first, second = demo(var), demo(var)
    by_provider = {name: [one[count] for count in COUNTS] for name, one in first["by_provider"].items()}
    assert by_provider["cryptopanic"] == [200, 140, 60, 0, 144, 0], "four of the posts had other votes the second time"
    assert by_provider["newscatcher"][:4] == [811, 789, 22, 0]
    assert by_provider["nansen"][:4] == [2334, 2242, 45, 47], "restated balances and a bucket that was incomplete"
    assert first["lost"] == second["lost"] == 0
    assert {count: second[count] for count in COUNTS} == dict.fromkeys(COUNTS, 0) | {
        "found": first["found"],
        "duplicate": first["found"],
    }
    assert first["verified"] is True
    assert second["verified"] is True
