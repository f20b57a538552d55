"""Old pictures go while the line runs; records and what people may need stay."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.conftest import Running, encoded

from goodpart.errors import RecipeError
from goodpart.records import Records
from goodpart.runtime.linefile import parse_line_file

Run = Callable[..., Running]


def pictures(line: Running) -> dict[str, Path]:
    """Where the part images are to lie, by part."""
    with Records.open(line.url) as db:
        return {r.inspection.part: db.images.path(r.image) for r in line.records() if r.image}


def judge(line: Running) -> None:
    line.drop("good.png", encoded(1))
    line.drop("bad.png", encoded(2, defect=True))
    line.finished(2)


def age(line: Running) -> None:
    """Make the pictures' files older than those that are never removed."""
    for path in pictures(line).values():
        os.utime(path, (time.time() - 7200,) * 2)


def test_the_line_keeps_its_store_small_and_spares_defective_parts(run: Run) -> None:
    line = run(retention={"max_size": "0B", "every": 1})
    judge(line)
    age(line)
    kept = pictures(line)
    line.until(lambda: not kept["good"].exists())
    time.sleep(1.2)
    line.stop()
    assert kept["bad"].exists()
    assert len(line.records()) == 2
    with Records.open(line.url) as db:
        [event] = db.events(kind="pruned")
        assert event.actor == "watch"
        assert db.verify().intact


def test_nothing_is_removed_by_default(run: Run) -> None:
    line = run(retention={"every": 1})
    judge(line)
    age(line)
    time.sleep(1.2)
    assert all(path.exists() for path in pictures(line).values())


def test_a_store_that_cannot_be_pruned_does_not_stop_the_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object, **named: object) -> None:
        raise OSError("the store has gone")

    monkeypatch.setattr(Records, "prune", fail)
    line = run(retention={"older_than": "1d", "every": 1})
    line.until(lambda: "the store has gone" in caplog.text)
    judge(line)
    assert line.watcher.health.state == "running"


@pytest.mark.parametrize("wrong", [{"older_than": "soon"}, {"max_size": "much"}, {"every": 0}])
def test_a_mistake_in_the_line_file_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match="retention"):
        parse_line_file({"retention": wrong})
