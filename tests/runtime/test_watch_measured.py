"""The measurements of ``benchmarks/watch_*.py``, shorter, as tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def figures(script: str, *arguments: object) -> dict[str, Any]:
    """What a measurement prints."""
    command = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_kills_lose_nothing_and_repeat_nothing() -> None:
    found = figures("watch_kill.py", "--files", 500, "--kills", 10)
    assert found["wrong"] == {}
    assert found["records"] == 500
    assert found["integrity_check"] == "ok"
    assert found["restart_to_first_verdict_s"]["p50"] < 10


def test_broken_inputs_are_never_ok_and_never_stop_the_line() -> None:
    assert figures("watch_broken.py", "--inputs", 400)["wrong"] == {}


def test_a_result_is_there_fifty_times_sooner_than_by_the_old_loop() -> None:
    found = figures("watch_latency.py", "--images", 40, "--old", 3, "--detector", "variation")
    # Other work on this machine slows both; the ratio stands.
    assert found["times_faster_at_p50"] > 15
    assert found["ms"]["settled"]["p50"] > found["ms"]["renamed"]["p50"]


def test_memory_does_not_grow() -> None:
    found = figures("watch_rate.py", "--seconds", 120, "--side", 128, "--detector", "variation")
    assert found["memory_growth"] < 0.05
    assert found["images"] > 100
