"""Retention removes pictures, never records, and spares what people may need."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from goodpart.records import RecordsError

DAY = timedelta(days=1)


@pytest.fixture
def keep(records, inspection):
    """Record a part taken some days ago, with its pictures; give its record."""
    count = 0

    def keep_one(verdict="OK", *, days=0.0, pixel=None, **changes):
        nonlocal count
        count += 1
        image = np.full((8, 8), count if pixel is None else pixel, np.uint8)
        taken = datetime.now(timezone.utc) - days * DAY
        given = inspection(verdict, image=image, taken_at=taken, **changes)
        kept = records.images.keep(given)
        old = time.time() - 7200
        os.utime(records.images.path(kept.image), (old, old))
        return records.record([given], arrival=f"a{count}", kept={given.id: kept})[0]

    return keep_one


def present(records, record):
    return records.images.path(record.image).exists()


def test_old_pictures_go_and_records_stay(records, keep):
    old, new = keep(days=100), keep(days=10)
    result = records.prune(older_than=90 * DAY, actor="kim")
    assert (result.files, present(records, old), present(records, new)) == (1, False, True)
    assert len(records.find()) == 2
    event = records.events(limit=1)[0]
    assert (event.kind, event.actor, event.data["files"]) == ("pruned", "kim", 1)
    assert records.verify().intact


def test_ng_check_reviewed_and_training_pictures_are_spared_until_asked(records, keep):
    spared = [keep("NG", days=100), keep("CHECK", days=100)]
    reviewed = keep(days=100)
    records.review(reviewed.inspection.id, "OK", reviewer="kim")
    source, stored = keep(days=100, sha256="cd" * 32), keep(days=100)
    records.add_training_images(["CD" * 32, stored.image])
    records.add_training_images(["cd" * 32])
    spared += [reviewed, source, stored]
    plain = [keep(days=100), keep("NOT_JUDGED", days=100)]
    result = records.prune(older_than=90 * DAY)
    assert (result.files, result.spared) == (2, 5)
    assert not any(present(records, each) for each in plain)
    assert all(present(records, each) for each in spared)
    assert records.prune(older_than=90 * DAY, include_ng=True).files == 5
    assert not any(present(records, each) for each in spared)


def test_the_oldest_go_until_the_size_fits(records, keep):
    parts = [keep(days=days) for days in (1, 4, 2, 3)]
    sizes = [records.images.path(part.image).stat().st_size for part in parts]
    result = records.prune(max_size=sizes[0] + sizes[2])
    assert [present(records, part) for part in parts] == [True, False, True, False]
    assert result.kept_bytes == sizes[0] + sizes[2]


def test_a_dry_run_removes_and_notes_nothing(records, keep):
    old = keep(days=100)
    result = records.prune(older_than=90 * DAY, dry_run=True)
    assert result.files == 1 and result.dry_run and present(records, old)
    assert records.events(limit=1)[0].kind == "inspected"


def test_a_picture_that_a_newer_or_spared_part_shares_stays(records, keep):
    shared_new = [keep(days=100, pixel=200), keep(days=1, pixel=200)]
    shared_ng = [keep(days=100, pixel=201), keep("NG", days=100, pixel=201)]
    assert records.prune(older_than=90 * DAY).files == 0
    assert present(records, shared_new[0]) and present(records, shared_ng[0])


def test_a_picture_written_just_now_stays(records, keep):
    old = keep(days=100)
    os.utime(records.images.path(old.image))
    assert records.prune(older_than=90 * DAY).files == 0


def test_files_that_no_record_knows_are_left_alone(records, keep, inspection):
    kept = records.images.keep(inspection(image=np.zeros((9, 9), np.uint8)))
    os.utime(records.images.path(kept.image), (0, 0))
    (records.images.folder / "readme.txt").write_text("mine")
    result = records.prune(older_than=DAY, max_size=0)
    assert (result.files, result.unknown) == (0, 1)
    assert (records.images.folder / "readme.txt").exists()


def test_what_a_dead_writer_left_half_written_goes_after_a_day(records, keep):
    keep()
    folder = records.images.folder / ".writing"
    for name, age in (("dead", 2 * 86400), ("alive", 60)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    records.prune(older_than=DAY)
    assert [path.name for path in folder.iterdir()] == ["alive"]


def test_an_age_or_a_size_must_be_given(records):
    with pytest.raises(RecordsError, match="an age, a size or both"):
        records.prune()
