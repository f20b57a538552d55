"""Recording: one transaction, once for each arrival, exactly what the inspection said."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone

import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Verdict
from goodpart.records import Kept, Message, Records, RecordsError, default_url


def test_an_inspection_comes_back_as_it_was_recorded(records, inspection):
    given = inspection("NG", "cap_1")
    recorded = records.record(
        [given],
        arrival="a1",
        lot="L7",
        operator="kim",
        kept={given.id: Kept("1" * 64, "2" * 64)},
    )
    assert recorded == records.by_arrival("a1") == [records.get(given.id)]
    record = recorded[0]
    assert record.inspection.to_dict() == given.to_dict()
    assert (record.lot, record.operator, record.station) == ("L7", "kim", "line 1")
    assert (record.image, record.heatmap) == ("1" * 64, "2" * 64)


def test_a_not_judged_inspection_is_a_record_too(records, inspection):
    given = inspection("NOT_JUDGED", limits=None, transform=None, sha256=None, model_id=None)
    records.record([given], arrival="a1")
    assert records.get(given.id).inspection.to_dict() == given.to_dict()


def test_a_tray_is_one_arrival_with_a_record_for_each_pocket(records, inspection):
    tray = [inspection(part=f"tray_{p}", pocket=p) for p in ("B2", "A1", "C3")]
    records.record(tray, arrival="t1")
    assert [r.inspection.pocket for r in records.by_arrival("t1")] == ["B2", "A1", "C3"]
    assert len(records.events(kind="inspected")) == 1


def test_an_arrival_recorded_again_keeps_its_first_verdict(records, inspection):
    first, second = inspection("NG"), inspection("OK")
    records.record([first], arrival="a1", outputs=[Message("hook", first.id, {})])
    again = records.record([second], arrival="a1", outputs=[Message("hook", second.id, {})])
    assert [r.inspection.id for r in again] == [first.id]
    assert len(records.find()) == 1
    assert [p.key for p in records.pending_outputs()] == [first.id]
    assert records.get(second.id) is None


def test_the_same_arrival_recorded_by_many_threads_is_recorded_once(records, inspection):
    barrier = threading.Barrier(8)

    def record(_):
        barrier.wait()
        return records.record([inspection()], arrival="a1")[0].inspection.id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(record, range(8)))) == 1
    assert len(records.find()) == 1


def test_nothing_of_an_arrival_is_recorded_where_a_part_of_it_fails(records, inspection):
    twice = inspection()
    records.record([twice], arrival="a1")
    with pytest.raises(RecordsError, match=r"a2: .*recorded before"):
        records.record([inspection(), twice], arrival="a2")
    assert records.by_arrival("a2") == []
    assert records.verify().intact


@pytest.mark.parametrize("name", ["캡_17", "a\udcffb", "nul\0name", "x'); DROP TABLE x;--", "📷"])
def test_any_file_name_can_be_recorded(records, inspection, name):
    given = inspection(part=name)
    records.record([given], arrival=name, outputs=[Message("hook", given.id, given.to_dict())])
    assert len(records.by_arrival(name)) == 1
    assert records.pending_outputs()[0].payload["part"] == name
    assert records.verify().intact


def test_numbers_survive_to_the_last_bit(records, inspection):
    score = float(np.float32(0.1)) + 1e-12
    given = inspection(score=score, limits=Limits(-0.0, 1e300), timings={"total": 1 / 3})
    records.record([given], arrival="a1")
    found = records.get(given.id).inspection
    assert found.score == score and found.limits.ng == 1e300 and found.timings["total"] == 1 / 3
    assert records.verify().intact


def test_a_score_that_is_no_number_is_recorded_as_missing(records, inspection):
    given = inspection("NOT_JUDGED", score=float("nan"), timings={"total": float("inf")})
    records.record([given], arrival="a1")
    found = records.get(given.id).inspection
    assert found.score is None and found.timings == {"total": None}


def test_times_keep_their_moment_whatever_the_time_zone(records, inspection):
    taken = datetime.fromisoformat("2026-03-01T08:59:59.123456+09:00")
    given = inspection(taken_at=taken)
    records.record([given], arrival="a1")
    found = records.get(given.id).inspection.taken_at
    assert found == taken and found.tzinfo is timezone.utc


def test_a_review_is_added_beside_the_verdict(records, inspection):
    given = inspection("CHECK")
    records.record([given], arrival="a1")
    records.review(given.id, "NG", reviewer="kim", defect="stain")
    records.review(given.id, "OK", reviewer="lee", note="dust")
    record = records.get(given.id)
    assert record.inspection.verdict == "CHECK"
    assert [r.verdict for r in record.reviews] == ["NG", "OK"]
    assert record.review.reviewer == "lee" and record.review.note == "dust"
    assert records.events(kind="reviewed")[0].actor == "lee"


@pytest.mark.parametrize(
    ("verdict", "reviewer", "message"),
    [("CHECK", "kim", "OK or NG"), ("OK", " ", "name"), ("OK", "kim", "no inspection")],
)
def test_a_review_that_makes_no_sense_is_refused(lite, verdict, reviewer, message):
    with pytest.raises(RecordsError, match=message):
        lite.review("nobody", verdict, reviewer=reviewer)


def test_a_registered_model_is_what_its_inspections_point_to(lite, inspection):
    from goodpart import fit

    images = np.random.default_rng(0).integers(90, 110, (12, 32, 32)).astype(np.uint8)
    model = fit(images, detector="variation")
    model.provenance["image_sha256"] = ["cd" * 32]
    version = lite.register(model)
    assert lite.register(model) == version
    assert len(lite.events(kind="model")) == 1
    given = inspection(model_id=model.id)
    lite.record([given], arrival="a1")
    assert lite.get(given.id).model_version == version
    model.limits = Limits(model.limits.ok, model.limits.ng + 1)
    assert lite.register(model) != version
    assert lite.verify().models == 2


def test_opening_for_reading_creates_nothing(tmp_path):
    with pytest.raises(RecordsError, match="no such database"):
        Records.open(f"sqlite:///{tmp_path / 'line.db'}", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(RecordsError, match="does not exist"):
        Records.open(f"sqlite:///{tmp_path / 'no' / 'line.db'}")


def test_the_default_database_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("GOODPART_DATABASE", raising=False)
    assert default_url() == "sqlite:///goodpart.db"
    monkeypatch.setenv("GOODPART_DATABASE", "sqlite:///line.db")
    assert default_url() == "sqlite:///line.db"


def test_sqlite_commits_reach_the_disk_and_foreign_keys_hold(lite):
    with lite._engine.connect() as connection:
        pragma = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragma == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def write(url, name, count):
    """What a station's process does, ``count`` times."""
    with Records.open(url, station=name) as records:
        for number in range(count):
            records.add_event("tick", subject=f"{name} {number}")
            part = f"{name} {number}"
            given = Inspection(Verdict.OK, source=part, part=part, score=0.5)
            records.record([given], arrival=part)


def start_writer(url, name, count):
    # Forked, because importing everything anew takes longer than the writing.
    writer = multiprocessing.get_context("fork").Process(target=write, args=(url, name, count))
    writer.start()
    return writer


def test_four_processes_open_a_new_database_and_write_one_unbroken_trail(url):
    writers = [start_writer(url, f"w{number}", 10) for number in range(4)]
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    with Records.open(url) as records:
        report = records.verify()
        assert report.intact and report.inspections == 40
        assert report.entries == 1 + 4 * 20
        assert len(records.find(limit=1000)) == 40


def test_threads_write_one_unbroken_trail(records):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: records.add_event("tick", subject=str(n)), range(60)))
    assert records.verify().entries == 61
    assert {e.subject for e in records.events(kind="tick", limit=100)} == set(map(str, range(60)))


def test_a_writer_killed_while_writing_leaves_a_whole_database(tmp_path):
    url = f"sqlite:///{tmp_path / 'line.db'}"
    Records.open(url).close()
    for name in ("a", "b", "c"):
        writer = start_writer(url, name, 10**6)
        with Records.open(url) as records:
            while not records.by_arrival(f"{name} 4"):
                assert writer.is_alive()
        writer.kill()
        writer.join()
        assert writer.exitcode == -9
    with Records.open(url) as records:
        assert records.verify().intact
        parts = [record.arrival for record in records.find(limit=10**6)]
        assert len(parts) == len(set(parts)) >= 15
    with closing(sqlite3.connect(tmp_path / "line.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
