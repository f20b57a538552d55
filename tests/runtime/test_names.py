"""Identities and names."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from goodpart.runtime.names import (
    Arrival,
    claim_name,
    folder_name,
    free_name,
    is_strange,
    new_id,
    parse_claim,
    printable,
)

file_names = (
    st.binary(min_size=1, max_size=255)
    .filter(lambda raw: b"/" not in raw and b"\0" not in raw and raw not in (b".", b".."))
    .map(os.fsdecode)
)


@given(file_names)
def test_a_claim_can_be_made_of_any_name_and_read_back(name: str) -> None:
    arrival_id = new_id()
    claim = claim_name(arrival_id, name)
    assert len(os.fsencode(claim)) <= 255
    parsed = parse_claim(claim)
    assert parsed is not None and parsed[0] == arrival_id
    if len(os.fsencode(name)) <= 224:
        assert parsed[1] == name


def test_a_name_too_long_keeps_its_suffix_and_stays_readable() -> None:
    claim = claim_name(new_id(), "캡" * 83 + ".png")
    assert claim.endswith(".png")
    assert not is_strange(claim)


@given(file_names)
def test_a_printable_name_is_one_line_of_valid_text(name: str) -> None:
    shown = printable(name)
    assert shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1 or not is_strange(shown)


@given(file_names)
def test_any_part_gets_a_folder(name: str) -> None:
    folder = folder_name(name, new_id())
    assert folder not in ("", ".", "..")
    assert not set(folder) & set('<>:"/\\|?*\n\0')
    assert len(os.fsencode(folder)) <= 255


def test_plain_names_are_kept_and_changed_ones_never_meet() -> None:
    arrival_id = new_id()
    assert folder_name("cap_17", arrival_id) == "cap_17"
    assert folder_name("캡 17", arrival_id) == "캡 17"
    assert folder_name("a:b", arrival_id) != folder_name("a?b", new_id())
    assert folder_name("done", arrival_id) != "done"


def test_strange_names_are_known() -> None:
    assert is_strange("a\nb.png") and is_strange(os.fsdecode(b"\xff.png"))
    assert not is_strange("캡 17.png")


def test_other_files_are_no_claims() -> None:
    assert parse_claim("lock") is None
    assert parse_claim(f"{new_id()}~") is None
    assert parse_claim(f"{new_id()}-a.png") is None


def test_a_taken_name_gets_the_identity(tmp_path: Path) -> None:
    assert free_name(tmp_path, "a.png", "ID").name == "a.png"
    (tmp_path / "a.png").touch()
    assert free_name(tmp_path, "a.png", "ID").name == "a~ID.png"


def test_identities_sort_by_time_and_tell_the_day() -> None:
    first, second = new_id(), new_id()
    assert first < second
    arrival = Arrival(first, "a.png", None, Path("a"))
    assert arrival.day == datetime.now().strftime("%Y-%m-%d")
    assert Arrival(first, "a.png", "L1", Path("a")).source == "L1/a.png"
