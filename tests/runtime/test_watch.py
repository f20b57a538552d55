"""The watch folder: once each, never OK on failure, whatever happens in between."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.outputs.conftest import Receiver
from tests.runtime.conftest import Running, encoded, part_pixels

import goodpart
from goodpart.decision import Inspection, Verdict
from goodpart.errors import GoodpartError
from goodpart.model import Model
from goodpart.outputs.result_files import result_files
from goodpart.recipe import parse_recipe
from goodpart.records import Records, RecordsUnavailable
from goodpart.runtime import judging
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.linefile import parse_line_file
from goodpart.runtime.shelves import Shelves
from goodpart.runtime.watch import Watcher

Run = Callable[..., Running]


def verdict_of(text: str) -> str:
    """The verdict in a normal result.txt."""
    return text.splitlines()[1].removeprefix("verdict : ")


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


# The original line's hand-off.


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


# Crashes: what a process leaves behind that dies at a step.


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


# Nowhere to record.


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
