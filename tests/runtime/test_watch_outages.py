"""Outages: nowhere to record, folders that go and come back, queues that are full, stopping."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable

import pytest
from tests.runtime.conftest import Running, encoded

from goodpart.decision import Inspection, Verdict
from goodpart.outputs.result_files import result_files
from goodpart.records import Records, RecordsUnavailable
from goodpart.runtime import judging

Run = Callable[..., Running]


def test_without_a_database_images_stay_claimed_and_are_judged_once_when_it_returns(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = run(watch={"handoff": "legacy"})
    result = line.results / "result.txt"
    line.drop("image.jpg", encoded(1, suffix=".jpg"))
    line.finished(1)
    with monkeypatch.context() as patch:

        def away(*args: object, **named: object) -> None:
            raise RecordsUnavailable("the database is away")

        patch.setattr(Records, "record", away)
        for seed in (4, 5):
            line.drop("image.jpg", encoded(seed, suffix=".jpg"))
            line.until(lambda: not (line.inbox / "image.jpg").exists())
        line.until(lambda: line.watcher.health.state == "blocked")
        assert not result.exists()
        answer = line.watcher.answer()
        assert "the database is away" in answer["reason"]
        assert answer["queue"]["claimed"] == 2
        health = line.results / "health.json"
        line.until(lambda: json.loads(health.read_text())["state"] == "blocked")
    line.finished(3)
    assert line.watcher.health.state == "running"
    assert result.read_text() == "result : Good\n"
    assert len(line.records()) == 3


def test_a_picture_that_cannot_be_drawn_does_not_stop_the_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(inspection: Inspection, *args: object, **named: object) -> dict[str, bytes]:
        if inspection.part == "a" and inspection.reason is None:
            raise ValueError("no such colour")
        return result_files(inspection, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("goodpart.runtime.handoff.result_files", broken)
    line = run()
    line.drop("a.png", encoded(1))
    line.finished(1)
    line.drop("b.png", encoded(2))
    line.finished(2)
    said = [(r.inspection.verdict, r.inspection.reason) for r in line.records()]
    assert said == [(Verdict.NOT_JUDGED, "output error"), (Verdict.OK, None)]
    assert line.put_away("quarantine") == ["a.png"]


def test_stopping_while_blocked_leaves_the_image_for_the_next_start(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:

        def away(*args: object, **named: object) -> None:
            raise RecordsUnavailable("the database is away")

        patch.setattr(Records, "record", away)
        line = run()
        line.drop("a.png", encoded(1))
        line.until(lambda: line.watcher.health.state == "blocked")
        line.stop()
        assert [path.name.split("~")[1] for path in line.left() if "~" in path.name] == ["a.png"]
    line = run()
    line.finished(1)
    assert len(line.records()) == 1


def test_an_inbox_that_goes_and_comes_back_goes_on(run: Run) -> None:
    line = run()
    line.drop("a.png", encoded(1))
    line.finished(1)
    os.rename(line.inbox, line.root / "away")
    line.until(lambda: line.watcher.health.state == "blocked")
    assert str(line.inbox) in (line.watcher.health.reason or "")
    os.rename(line.root / "away", line.inbox)
    line.until(lambda: line.watcher.health.state == "running")
    line.drop("b.png", encoded(2))
    line.finished(2)


@pytest.mark.parametrize("mount_point_stays", [False, True])
@pytest.mark.parametrize("handoff", ["normal", "legacy"])
def test_results_that_go_and_come_back_keep_no_earlier_good(
    handoff: str, mount_point_stays: bool, run: Run
) -> None:
    line = run(watch={"handoff": handoff})
    line.drop("image.jpg", encoded(1, suffix=".jpg"))
    line.finished(1)
    os.rename(line.results, line.root / "away")
    if mount_point_stays:
        line.results.mkdir()
    line.drop("image.jpg", encoded(2, suffix=".jpg", defect=True))
    line.until(lambda: line.watcher.health.state == "blocked")
    assert "the results folder has gone" in (line.watcher.health.reason or "")
    if mount_point_stays:
        line.until(lambda: (line.results / "health.json").exists())
        assert [path.name for path in line.results.iterdir()] == ["health.json"]
        (line.results / "health.json").unlink()
        line.results.rmdir()
    os.rename(line.root / "away", line.results)
    line.finished(2)
    line.stop()
    folder = line.results / ("image" if handoff == "normal" else "")
    assert (folder / "result.txt").read_text().startswith("result : Bad\n")
    assert [r.inspection.verdict for r in line.records()] == [Verdict.OK, Verdict.NG]


def test_results_that_go_before_they_are_in_place_get_them_when_they_are_back(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = run()
    record = Records.record

    def unplugged(self: Records, *args: object, **named: object) -> object:
        known = record(self, *args, **named)
        os.rename(line.results, line.root / "away")
        return known

    with monkeypatch.context() as patch:
        patch.setattr(Records, "record", unplugged)
        line.drop("a.png", encoded(1))
        line.until(lambda: line.watcher.health.state == "blocked")
    os.rename(line.root / "away", line.results)
    line.finished(1)
    assert (line.results / "a" / "result.txt").read_text().startswith("result : Good\n")


def test_a_queue_that_is_full_leaves_the_rest_in_the_inbox(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    judge = judging.Judge.judge

    def slow(self: object, *args: object) -> object:
        go_on.wait(20)
        return judge(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(judging.Judge, "judge", slow)
    line = run(watch={"queue": 3})
    for seed in range(8):
        line.drop(f"{seed}.png", encoded(seed))
    line.until(lambda: line.watcher.answer()["queue"] == {"inbox": 5, "claimed": 3})
    go_on.set()
    line.finished(8)
    assert line.watcher.answer()["queue"] == {"inbox": 0, "claimed": 0}
    assert len(line.records()) == 8


def test_stopping_finishes_the_images_at_hand_and_leaves_the_rest_claimed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, at_hand = threading.Event(), threading.Semaphore(0)
    judge = judging.Judge.judge

    def slow(self: object, *args: object) -> object:
        at_hand.release()
        go_on.wait(20)
        return judge(self, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(judging.Judge, "judge", slow)
        line = run(watch={"workers": 2})
        for seed in range(5):
            line.drop(f"{seed}.png", encoded(seed))
        line.until(lambda: line.watcher.answer()["queue"]["claimed"] == 5)
        assert at_hand.acquire(timeout=10) and at_hand.acquire(timeout=10)
        line.watcher.stop()
        time.sleep(0.1)
        go_on.set()
        line.stop()
    assert len(line.records()) == len(line.put_away("done")) == 2
    assert len(line.left()) == 3
    line = run()
    line.finished(3)
    assert len(line.records()) == 5 and line.left() == []
