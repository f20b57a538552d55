"""The watch folder: once each, never OK on failure, whatever happens in between."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.outputs.conftest import Receiver
from tests.runtime.conftest import Running, encoded, part_pixels, verdict_of

import goodpart
from goodpart.decision import Verdict
from goodpart.errors import GoodpartError
from goodpart.model import Model
from goodpart.recipe import parse_recipe
from goodpart.runtime.linefile import parse_line_file
from goodpart.runtime.watch import Watcher

Run = Callable[..., Running]


def test_every_arrival_is_judged_recorded_and_put_away(run: Run) -> None:
    line = run()
    line.drop("good.png", encoded(1))
    line.drop("bad.png", encoded(2, defect=True))
    line.drop("half.png", encoded(3)[:-50])
    line.drop("notes.txt", b"not an image at all, but a shopping list")
    line.finished(4)
    line.stop()
    said = {record.inspection.part: record.inspection for record in line.records()}
    assert {part: i.verdict for part, i in said.items()} == {
        "good": Verdict.OK,
        "bad": Verdict.NG,
        "half": Verdict.NOT_JUDGED,
        "notes": Verdict.NOT_JUDGED,
    }
    assert said["half"].reason == "truncated"
    for part, inspection in said.items():
        text = (line.results / part / "result.txt").read_text()
        assert text.splitlines()[0] == f"result : {'Good' if part == 'good' else 'Bad'}"
        assert verdict_of(text) == inspection.verdict
        assert (line.results / part / "heatmap.png").exists()
        assert (line.results / part / "histogram.png").exists()
    assert line.put_away("done") == ["good.png"]
    assert line.put_away("ng") == ["bad.png"]
    assert line.put_away("quarantine") == ["half.png", "notes.txt"]
    assert line.left() == []
    assert [p.name for p in line.inbox.iterdir()] == [".goodpart"]


def test_a_file_that_is_too_large_is_quarantined_with_the_reason(tmp_path: Path) -> None:
    images = np.stack([part_pixels(seed) for seed in range(10)])
    small = parse_recipe({"input": {"max_bytes": 6000}})
    line = Running(goodpart.fit(images, detector="variation", recipe=small), tmp_path)
    try:
        line.drop("large.png", encoded(1) + bytes(6000))
        line.finished(1)
    finally:
        line.stop()
    [record] = line.records()
    assert record.inspection.verdict is Verdict.NOT_JUDGED
    assert record.inspection.reason == "too large"
    assert "more than 6000 bytes" in (record.inspection.message or "")
    assert line.put_away("quarantine") == ["large.png"]


def test_the_same_bytes_dropped_again_are_a_new_arrival(run: Run) -> None:
    line = run()
    for count in (1, 2):
        line.drop("a.png", encoded(1))
        line.finished(count)
    line.stop()
    first, second = line.records()
    assert first.arrival != second.arrival
    assert first.inspection.sha256 == second.inspection.sha256
    assert len(line.put_away("done")) == 2


def test_records_keep_every_step_s_time(run: Run) -> None:
    line = run()
    line.drop("a.png", encoded(1))
    line.finished(1)
    [record] = line.records()
    assert {"decode", "locate", "score", "decide", "write"} <= set(record.inspection.timings)


def test_judged_inputs_can_be_deleted_but_not_those_that_failed(run: Run) -> None:
    line = run(watch={"inputs": "delete"})
    line.drop("good.png", encoded(1))
    line.drop("half.png", encoded(1)[:-50])
    line.finished(2)
    assert line.put_away("done") == []
    assert line.put_away("quarantine") == ["half.png"]


def test_lots_are_kept_in_records_results_and_shelves(run: Run) -> None:
    line = run(watch={"lots": True})
    (line.inbox / "L7").mkdir()
    time.sleep(0.2)
    line.drop("L7/a.png", encoded(1))
    line.finished(1)
    [record] = line.records()
    assert record.lot == "L7"
    assert (line.results / "L7" / "a" / "result.txt").exists()
    assert [p.name for p in (line.results / "done").glob("*/L7/*")] == ["a.png"]


def test_polling_finds_what_events_would_have_told(run: Run) -> None:
    line = run(watch={"events": "polling", "poll": 0.02, "settle": 0.05})
    line.drop("a.png", encoded(1))
    line.finished(1)
    assert line.put_away("done") == ["a.png"]


def test_health_tells_counts_queue_and_latency(run: Run) -> None:
    line = run()
    line.drop("good.png", encoded(1))
    line.drop("bad.png", encoded(2, defect=True))
    line.finished(2)
    file = line.results / "health.json"
    line.until(lambda: json.loads(file.read_text())["arrivals"] == 2)
    health = json.loads(file.read_text())
    assert health["state"] == "running"
    assert health["verdicts"] == {"OK": 1, "NG": 1, "CHECK": 0, "NOT_JUDGED": 0}
    assert health["queue"] == {"inbox": 0, "claimed": 0}
    assert health["latency_ms"]["file_to_result"]["p50"] > 0
    line.stop()
    assert json.loads(file.read_text())["state"] == "stopped"


def test_a_second_watcher_on_the_same_inbox_is_refused(run: Run, model: Model) -> None:
    line = run()
    line.until(lambda: line.watcher.health.state == "running")
    other = {"folders": {"inbox": line.inbox, "results": line.root / "other"}}
    with pytest.raises(GoodpartError, match="already watches"):
        Watcher(model, parse_line_file(other)).run()


@pytest.mark.parametrize("folders", [{}, {"inbox": "gone"}, {"inbox": ".", "results": "./out"}])
def test_folders_that_cannot_work_are_refused(
    folders: dict[str, str], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GoodpartError):
        Watcher(model, parse_line_file({"folders": {"results": "out", **folders}}))


@pytest.fixture(scope="module")
def tray_model() -> Model:
    """Trays with two discs side by side."""
    boxes = [
        {"name": n, "x": 64 * k, "y": 0, "width": 64, "height": 64} for k, n in enumerate("LR")
    ]
    recipe = parse_recipe({"tray": {"mode": "boxes", "boxes": boxes}})
    trays = [np.hstack([part_pixels(seed), part_pixels(seed + 50)]) for seed in range(500, 520)]
    return goodpart.fit(np.stack(trays), detector="variation", recipe=recipe)


def tray(*defects: bool) -> bytes:
    parts = [part_pixels(seed, defect=defect) for seed, defect in enumerate(defects)]
    return cv2.imencode(".png", np.hstack(parts))[1].tobytes()


def test_a_tray_gives_a_record_and_a_folder_for_each_pocket(
    tray_model: Model, tmp_path: Path
) -> None:
    line = Running(tray_model, tmp_path)
    try:
        line.drop("tray.png", tray(False, True))
        line.finished(1)
        left, right = (line.results / f"tray_{name}" / "result.txt" for name in "LR")
        assert left.read_text().startswith("result : Good")
        assert right.read_text().startswith("result : Bad\nverdict : NG")
        assert line.put_away("ng") == ["tray.png"]
        # The next tray of this name cannot be read: no pocket keeps its earlier Good.
        line.drop("tray.png", tray(False, False)[:200])
        line.finished(2)
        assert not left.exists() and not right.exists()
        assert (line.results / "tray" / "result.txt").read_text().startswith("result : Bad")
    finally:
        line.stop()
    records = line.records()
    assert [r.inspection.pocket for r in records] == ["L", "R", None]
    assert len({r.arrival for r in records}) == 2


def test_record_file_and_message_say_the_same_and_a_slow_receiver_delays_nothing(
    run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.delay = threading.Event()
    (tmp_path / "key").write_text("secret")
    webhook = {"url": receiver.url, "secret": {"file": tmp_path / "key"}}
    line = run(outputs={"webhook": webhook})
    images = {"good": encoded(1), "bad": encoded(2, defect=True), "half": encoded(3)[:-50]}
    for name, data in images.items():
        line.drop(f"{name}.png", data)
    line.finished(3)
    assert receiver.requests == []
    receiver.delay.set()
    line.until(lambda: len(receiver.requests) == 3)
    line.stop()
    records = {r.inspection.id: r.inspection for r in line.records()}
    messages = [(headers, json.loads(body)) for headers, body in receiver.requests]
    assert {headers["Idempotency-Key"] for headers, _ in messages} == set(records)
    for headers, told in messages:
        inspection = records[headers["Idempotency-Key"]]
        assert told["verdict"] == inspection.verdict
        text = (line.results / inspection.part / "result.txt").read_text()
        assert verdict_of(text) == inspection.verdict


def test_images_that_queue_up_share_runs_of_the_detector(
    run: Run, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = run()
    sizes: list[int] = []
    raw_maps = model.detector.raw_maps
    go_on = threading.Event()

    def slow(images: list[np.ndarray]) -> list[np.ndarray]:
        sizes.append(len(images))
        go_on.wait(20)
        return raw_maps(images)

    monkeypatch.setattr(model.detector, "raw_maps", slow)
    for seed in range(8):
        line.drop(f"{seed}.png", encoded(seed, defect=seed % 2 == 0))
    # One worker is at the detector, the three others wait behind it.
    line.until(lambda: len(line.watcher._inspector._waiting) == 3)
    go_on.set()
    line.finished(8)
    assert sizes[:2] == [1, 3]
    for record in line.records():
        expected = Verdict.NG if int(record.inspection.part) % 2 == 0 else Verdict.OK
        assert record.inspection.verdict is expected
