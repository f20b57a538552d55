"""Shelves: by verdict, by day, also across file systems."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from goodpart.decision import Verdict
from goodpart.runtime.names import Arrival, claim_name, new_id
from goodpart.runtime.shelves import Shelves


@pytest.fixture
def shelves(tmp_path: Path) -> Shelves:
    return Shelves(tmp_path / "done", tmp_path / "ng", tmp_path / "quarantine", delete=False)


def claimed(folder: Path, name: str = "a.png", data: bytes = b"x") -> Arrival:
    arrival_id = new_id()
    path = folder / claim_name(arrival_id, name)
    path.write_bytes(data)
    return Arrival(arrival_id, name, None, path)


@pytest.mark.parametrize(
    ("verdicts", "shelf"),
    [
        ([Verdict.OK], "done"),
        ([Verdict.NG], "ng"),
        ([Verdict.CHECK], "ng"),
        ([Verdict.NOT_JUDGED], "quarantine"),
        ([Verdict.OK, Verdict.NOT_JUDGED], "quarantine"),
        ([Verdict.NOT_JUDGED, Verdict.NG, Verdict.OK], "ng"),
    ],
)
def test_the_worst_part_decides(
    verdicts: list[Verdict], shelf: str, shelves: Shelves, tmp_path: Path
) -> None:
    arrival = claimed(tmp_path)
    place = shelves.put_away(arrival, verdicts)
    assert place == tmp_path / shelf / arrival.day / "a.png"
    assert not arrival.path.exists()


def test_nothing_on_a_shelf_is_overwritten(shelves: Shelves, tmp_path: Path) -> None:
    first = shelves.put_away(claimed(tmp_path, data=b"1"), [Verdict.OK])
    second = shelves.put_away(claimed(tmp_path, data=b"2"), [Verdict.OK])
    assert first is not None and second is not None
    assert (first.read_bytes(), second.read_bytes()) == (b"1", b"2")


def test_putting_away_twice_is_the_same_as_once(shelves: Shelves, tmp_path: Path) -> None:
    arrival = claimed(tmp_path)
    assert shelves.put_away(arrival, [Verdict.OK]) is not None
    assert shelves.put_away(arrival, [Verdict.OK]) is None
    assert len(list((tmp_path / "done").glob("*/*"))) == 1


def test_another_file_system_gets_a_whole_copy(
    shelves: Shelves, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def across(source: object, target: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("goodpart.runtime.shelves.os.rename", across)
    arrival = claimed(tmp_path, data=b"bytes")
    place = shelves.put_away(arrival, [Verdict.OK])
    assert place is not None and place.read_bytes() == b"bytes"
    assert not arrival.path.exists()
    # Killed between the copy and the removal: the copy is not made again.
    arrival.path.write_bytes(b"bytes")
    assert shelves.put_away(arrival, [Verdict.OK]) == place
    assert len(list((tmp_path / "done").glob("*/*"))) == 1


def test_names_of_any_bytes_are_moved(shelves: Shelves, tmp_path: Path) -> None:
    arrival = claimed(tmp_path, os.fsdecode(b"\xff\n.png"))
    place = shelves.put_away(arrival, [Verdict.NOT_JUDGED])
    assert place is not None and os.fsencode(place.name) == b"\xff\n.png"
