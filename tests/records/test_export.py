"""Exports: every record, whatever its text, and a file only when it is complete."""

from __future__ import annotations

import csv
import sys
import tracemalloc
from pathlib import Path

import pytest

from goodpart.errors import MissingExtraError
from goodpart.records import RecordsError, queries
from goodpart.records.export import COLUMNS, check_target, export


@pytest.fixture
def filled(lite, inspection):
    """A few records with text that is hard to write."""
    for number, part in enumerate(["cap", '=HYPERLINK("x")', 'a,"b"\n캡']):
        given = inspection("NOT_JUDGED" if number == 0 else "NG", part)
        lite.record([given], arrival=f"a{number}", lot="-7")
    lite.review(given.id, "OK", reviewer="kim", note="dust")
    return lite


def test_csv_holds_every_record_and_no_formula(filled, tmp_path):
    target = tmp_path / "records.csv"
    assert export(filled.stream(), target) == 3
    assert target.read_bytes().startswith(b"\xef\xbb\xbf")
    with open(target, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["part"] for row in rows] == ["cap", '\'=HYPERLINK("x")', 'a,"b"\n캡']
    assert rows[0]["score"] == "" and float(rows[1]["score"]) == 1.25
    assert rows[0]["lot"] == "'-7"
    assert (rows[2]["review_verdict"], rows[2]["review_note"]) == ("OK", "dust")
    assert (rows[2]["regions"], rows[2]["region_area"]) == ("1", "21")


def test_parquet_holds_every_record_with_its_types(filled, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    target = tmp_path / "records.parquet"
    assert export(filled.stream(), target) == 3
    table = parquet.read_table(target)
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert rows[1]["part"] == '=HYPERLINK("x")' and rows[1]["score"] == 1.25
    assert rows[0]["score"] is None
    assert rows[0]["taken_at"] == filled.by_arrival("a0")[0].inspection.taken_at


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_no_records_make_an_empty_table(lite, tmp_path, suffix):
    target = tmp_path / f"records.{suffix}"
    assert export(lite.stream(), target) == 0
    assert target.exists()


def test_an_export_that_is_interrupted_leaves_nothing_behind(filled, tmp_path):
    def interrupted():
        yield next(filled.stream())
        raise KeyboardInterrupt

    target = tmp_path / "out" / "records.csv"
    target.parent.mkdir()
    with pytest.raises(KeyboardInterrupt):
        export(interrupted(), target)
    assert list(target.parent.iterdir()) == []


def test_a_file_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "records.csv"
    target.touch()
    with pytest.raises(RecordsError, match="--force"):
        check_target(target, force=False)
    check_target(target, force=True)


def test_another_kind_of_file_is_refused():
    with pytest.raises(RecordsError, match=r"\.csv or \.parquet"):
        check_target(Path("records.xlsx"), force=False)


def test_parquet_without_pyarrow_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="parquet"):
        check_target(Path("records.parquet"), force=False)


def test_a_folder_that_is_not_there_is_one_line(lite, tmp_path):
    with pytest.raises(RecordsError, match="cannot be written"):
        export(lite.stream(), tmp_path / "no" / "records.csv")


def test_many_records_need_no_more_memory_than_few(lite, inspection, tmp_path, monkeypatch):
    monkeypatch.setattr(queries, "CHUNK", 100)

    def peak():
        tracemalloc.start()
        export(lite.stream(), tmp_path / "records.csv")
        (tmp_path / "records.csv").unlink()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def fill(arrival):
        pockets = [inspection(part=f"{arrival}_{n}", pocket=str(n)) for n in range(200)]
        lite.record(pockets, arrival=arrival)

    fill("a")
    few = peak()
    for arrival in "bcd":
        fill(arrival)
    assert peak() < 1.2 * few
