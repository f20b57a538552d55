"""Crashes: what a process that dies at a step leaves behind, and what the next start does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.conftest import Running, encoded

from goodpart.decision import Verdict
from goodpart.records import Records
from goodpart.runtime import judging
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.shelves import Shelves

Run = Callable[..., Running]


class Killed(BaseException):
    """Ends the watcher where it stands."""


def die_before(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    def die(*args: object, **named: object) -> None:
        raise Killed

    monkeypatch.setattr(owner, name, die)


def die_after(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    work = getattr(owner, name)

    def work_and_die(*args: object, **named: object) -> None:
        work(*args, **named)
        raise Killed

    monkeypatch.setattr(owner, name, work_and_die)


def die_at_second_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    replace, calls = os.replace, list[str]()

    def counted(source: str, target: str) -> None:
        if Path(target).suffix in (".png", ".txt"):
            calls.append(str(target))
            if len(calls) == 2:
                raise Killed
        replace(source, target)

    monkeypatch.setattr("goodpart.runtime.handoff.os.replace", counted)


CRASHES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "claimed, not judged": lambda m: die_before(m, judging.Judge, "judge"),
    "judged, not staged": lambda m: die_before(m, Handoff, "stage"),
    "staged, not recorded": lambda m: die_before(m, Records, "record"),
    "recorded, nothing in place": lambda m: die_after(m, Records, "record"),
    "heatmap in place, result not": die_at_second_rename,
    "results in place, image not kept": lambda m: die_after(m, Handoff, "publish"),
    "image kept, input not put away": lambda m: die_before(m, Shelves, "put_away"),
    "all done": lambda m: die_after(m, Shelves, "put_away"),
}


@pytest.mark.parametrize("handoff", ["normal", "legacy"])
@pytest.mark.parametrize("crash", CRASHES)
def test_a_restart_finishes_what_was_begun_and_repeats_nothing(
    crash: str, handoff: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        CRASHES[crash](patch)
        line = run(watch={"handoff": handoff})
        line.drop("image.jpg", encoded(2, suffix=".jpg", defect=True))
        assert isinstance(line.wait_for_end(), Killed)
        before = line.records()
    line = run(watch={"handoff": handoff})
    if crash != "all done":
        line.finished(1)
    line.drop("image.jpg", encoded(3, suffix=".jpg"))
    line.finished(1 if crash == "all done" else 2)
    line.stop()
    records = line.records()
    assert [r.inspection.verdict for r in records] == [Verdict.NG, Verdict.OK]
    assert [r.inspection.id for r in records[: len(before)]] == [r.inspection.id for r in before]
    folder = line.results / ("image" if handoff == "normal" else "")
    assert (folder / "result.txt").read_text().startswith("result : Good\n")
    assert line.put_away("ng") == ["image.jpg"] and line.put_away("done") == ["image.jpg"]
    assert line.left() == []
    with Records.open(line.url) as db:
        assert all(db.images.read(r.image) is not None for r in records if r.image)


def test_results_of_the_crashed_arrival_are_its_own(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        die_after(patch, Records, "record")
        line = run(watch={"handoff": "legacy"})
        line.drop("image.jpg", encoded(2, suffix=".jpg", defect=True))
        line.wait_for_end()
    assert not (line.results / "result.txt").exists()
    line = run(watch={"handoff": "legacy"})
    line.finished(1)
    assert (line.results / "result.txt").read_text() == "result : Bad\nNG\n"
