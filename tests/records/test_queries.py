"""Finding, paging, streaming and counting records."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from goodpart.records import Filter, RecordsError, queries

START = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
VERDICTS = ("OK", "NG", "CHECK", "NOT_JUDGED")


@pytest.fixture
def filled(records, inspection):
    """Eight records, a day apart."""
    for number in range(8):
        given = inspection(
            VERDICTS[number % 4],
            f"Cap_{number}%",
            taken_at=START + timedelta(days=number),
            model_id="m1" if number < 4 else "m2",
        )
        records.record(
            [given],
            arrival=f"a{number}",
            lot="L1" if number < 3 else None,
            operator="kim" if number % 2 else "lee",
        )
    records.review(given.id, "OK", reviewer="kim")
    return records


def numbers(records, **wanted):
    return [int(r.arrival[1:]) for r in records.find(Filter(**wanted))]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"verdicts": ("NG",)}, [5, 1]),
        ({"verdicts": ("NG", "CHECK"), "lot": "L1"}, [2, 1]),
        ({"lot": "L"}, []),
        ({"operator": "kim", "model": "m1"}, [3, 1]),
        ({"model": "m"}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"station": "line 2"}, []),
        ({"part": "cap_3"}, [3]),
        ({"part": "3%"}, [3]),
        ({"part": "%3"}, []),
        ({"part": "_"}, [7, 6, 5, 4, 3, 2, 1, 0]),
        ({"since": START + timedelta(days=5)}, [7, 6, 5]),
        ({"since": START + timedelta(days=2), "until": START + timedelta(days=4)}, [3, 2]),
        ({"reviewed": True}, [7]),
        ({"reviewed": False, "since": START + timedelta(days=6)}, [6]),
        ({"lot": "' OR 1=1 --"}, []),
    ],
)
def test_a_filter_finds_what_fits_newest_first(filled, wanted, expected):
    assert numbers(filled, **wanted) == expected


def test_pages_follow_one_another_while_new_records_come(filled, inspection):
    first = filled.find(limit=3)
    filled.record([inspection()], arrival="new")
    second = filled.find(limit=3, before=first[-1].number)
    assert [r.arrival for r in first + second] == ["a7", "a6", "a5", "a4", "a3", "a2"]


def test_a_stream_gives_everything_oldest_first_in_chunks(filled, monkeypatch):
    monkeypatch.setattr(queries, "CHUNK", 3)
    chunks = list(filled.stream())
    assert [len(chunk) for chunk in chunks] == [3, 3, 2]
    assert [r.arrival for chunk in chunks for r in chunk] == [f"a{n}" for n in range(8)]
    assert [r.arrival for c in filled.stream(Filter(verdicts=("NG",))) for r in c] == ["a1", "a5"]


def test_verdicts_are_counted_by_the_days_of_the_station(filled):
    counts = filled.counts(Filter(since=START + timedelta(days=6)))
    days = [(START + timedelta(days=n)).astimezone().date().isoformat() for n in (6, 7)]
    assert [count.group for count in counts] == days
    assert [(count.check, count.not_judged, count.total) for count in counts] == [
        (1, 0, 1),
        (0, 1, 1),
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [("lot", {"L1": 3, None: 5}), ("model", {"m1": 4, "m2": 4}), ("station", {"line 1": 8})],
)
def test_verdicts_are_counted_by_other_groups(filled, by, groups):
    assert {count.group: count.total for count in filled.counts(by=by)} == groups


def test_an_unknown_group_is_refused(lite):
    with pytest.raises(RecordsError, match="day, lot, station, model, recipe"):
        lite.counts(by="colour")
