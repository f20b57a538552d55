"""The original line's hand-off: what its camera program reads, and never an earlier Good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.conftest import Running, encoded

from goodpart.model import Model
from goodpart.records import Records

Run = Callable[..., Running]


def test_the_old_hand_off_writes_what_its_camera_program_reads(run: Run) -> None:
    line = run(watch={"handoff": "legacy"})
    result = line.results / "result.txt"
    for data, text in [
        (encoded(1, suffix=".jpg"), "result : Good\n"),
        (encoded(2, suffix=".jpg", defect=True), "result : Bad\nNG\n"),
        (encoded(1, suffix=".jpg")[:-100], "result : Bad\nNOT_JUDGED\n"),
        (encoded(3, suffix=".jpg"), "result : Good\n"),
    ]:
        line.drop("image.jpg", data)
        line.until(lambda: not (line.inbox / "image.jpg").exists() and result.exists())
        assert result.read_text() == text
        assert (line.results / "heatmap.png").exists()
        assert (line.results / "histogram.png").exists()


def test_one_shared_folder_can_be_inbox_and_results(model: Model, tmp_path: Path) -> None:
    line = Running(
        model,
        tmp_path,
        folders={"inbox": tmp_path / "in", "results": tmp_path / "in"},
        watch={"handoff": "legacy"},
    )
    try:
        line.drop("image.jpg", encoded(1, suffix=".jpg"))
        line.finished(1)
        assert (line.inbox / "result.txt").read_text() == "result : Good\n"
    finally:
        line.stop()


def test_a_reader_that_polls_every_millisecond_never_sees_an_earlier_good(run: Run) -> None:
    line = run(watch={"handoff": "legacy"})
    image, result = line.inbox / "image.jpg", line.results / "result.txt"
    good = encoded(1, suffix=".jpg")
    failing = [good[:-100], b"", b"no image", encoded(2, suffix=".jpg", defect=True)]
    wrong: list[str] = []
    expect_bad, over = threading.Event(), threading.Event()

    def poll() -> None:
        while not over.is_set():
            # The order matters: first the image is seen to be gone, then the result is read.
            claimed = expect_bad.is_set() and not image.exists()
            try:
                text = result.read_text()
            except FileNotFoundError:
                text = None
            if text is not None and text not in (
                "result : Good\n",
                "result : Bad\nNG\n",
                "result : Bad\nNOT_JUDGED\n",
            ):
                wrong.append(f"torn: {text!r}")
            if claimed and expect_bad.is_set() and text == "result : Good\n":
                wrong.append("an earlier Good")
            time.sleep(0.001)

    reader = threading.Thread(target=poll, daemon=True)
    reader.start()
    try:
        count = 0
        for bad in failing * 3:
            line.drop("image.jpg", good)
            count += 1
            line.finished(count)
            assert result.read_text() == "result : Good\n"
            line.drop("image.jpg", bad)
            expect_bad.set()
            count += 1
            line.finished(count)
            assert result.read_text().startswith("result : Bad")
            expect_bad.clear()
    finally:
        over.set()
        reader.join()
    assert wrong == []


def test_a_result_is_withheld_when_a_newer_image_has_come(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = run(watch={"handoff": "legacy"})
    judging, go_on = threading.Event(), threading.Event()
    record = Records.record

    def slow(self: Records, *args: object, **named: object) -> object:
        judging.set()
        go_on.wait(10)
        return record(self, *args, **named)

    monkeypatch.setattr(Records, "record", slow)
    line.drop("image.jpg", encoded(1, suffix=".jpg"))
    assert judging.wait(10)
    line.drop("image.jpg", encoded(2, suffix=".jpg", defect=True))
    line.until(lambda: not (line.inbox / "image.jpg").exists())
    go_on.set()
    seen = set()
    while line.watcher.health.arrivals < 2:
        if (line.results / "result.txt").exists():
            seen.add((line.results / "result.txt").read_text())
    assert seen <= {"result : Bad\nNG\n"}
    assert line.watcher.health.withheld == 1
    assert len(line.records()) == 2
