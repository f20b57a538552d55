"""Health: what is wrong is said, also on a full disk."""

from __future__ import annotations

import errno
import json
import logging
import urllib.request
from pathlib import Path

import pytest

from goodpart.decision import Verdict
from goodpart.errors import GoodpartError
from goodpart.runtime.health import Health, HealthFile
from goodpart.runtime.metrics import Metrics


def answer(health: Health) -> dict:
    return health.answer(
        {
            "queue": {"inbox": 1, "claimed": 2},
            "outputs": {"mqtt": {"waiting": 3, "error": None}},
            "latency_ms": health.latency.percentiles(),
        }
    )


def test_a_problem_blocks_until_it_is_gone_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    health = Health({})
    health.phase("running")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            health.blocked("the database", "the database: away")
        health.blocked("the results", "the results: full")
    assert health.state == "blocked"
    assert answer(health)["reason"] == "the database: away; the results: full"
    assert len(caplog.records) == 2
    health.free("the database")
    assert health.state == "blocked"
    health.free("the results")
    assert health.state == "running" and answer(health)["reason"] is None


def test_a_step_that_never_returns_blocks_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    health = Health({})
    health.phase("running")
    with health.at_work("the database"):
        assert health.state == "running"
        monkeypatch.setattr("goodpart.runtime.health.STUCK", -1.0)
        assert health.state == "blocked"
        assert "the database: no answer" in (health.reason or "")
    assert health.state == "running"


def test_a_full_disk_does_not_keep_the_alarm_out_of_the_health_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = Health({})
    health.phase("running")
    file = tmp_path / "health.json"
    writer = HealthFile(file, 0.05, lambda: answer(health))
    writer.start()
    size, place = file.stat().st_size, file.stat().st_ino

    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    health.blocked("the results", "the results: full")
    writer.write()
    assert json.loads(file.read_text())["reason"] == "the results: full"
    assert file.stat().st_size == size, "no more room than it had"
    monkeypatch.undo()
    health.free("the results")
    writer.write()
    assert json.loads(file.read_text())["state"] == "running"
    writer.stop()
    assert file.stat().st_ino != place, "replaced again"


def test_counts_and_latency_are_kept() -> None:
    health = Health({"station": "s"})
    health.count("tray.png", [Verdict.OK, Verdict.NG], 0.02)
    health.count("a.png", [Verdict.NOT_JUDGED], None)
    found = answer(health)
    assert found["arrivals"] == 2
    assert found["verdicts"] == {"OK": 1, "NG": 1, "CHECK": 0, "NOT_JUDGED": 1}
    assert found["latency_ms"]["file_to_result"] == {"p50": 20.0, "p95": 20.0, "p99": 20.0}
    assert found["last"]["source"] == "a.png"


def test_prometheus_reads_the_same_figures() -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    health = Health({})
    health.count("a.png", [Verdict.NG], 0.5)
    metrics = Metrics("127.0.0.1", 0, lambda: answer(health))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as got:
            text = got.read().decode()
        with pytest.raises(GoodpartError, match="cannot listen"):
            Metrics("127.0.0.1", metrics.port, lambda: answer(health))
    finally:
        metrics.close()
    for line in (
        "goodpart_arrivals_total 1.0",
        'goodpart_parts_total{verdict="NG"} 1.0',
        'goodpart_queue{place="claimed"} 2.0',
        'goodpart_spool{output="mqtt"} 3.0',
        "goodpart_blocked 0.0",
        "goodpart_file_to_result_seconds_sum 0.5",
    ):
        assert line in text.splitlines()
