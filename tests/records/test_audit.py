"""The audit trail: whatever is changed, removed or inserted behind its back is found."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodpart.records import Records
from goodpart.records.audit import FIRST, entry_hash

TABLES = ("events", "inspections", "regions", "reviews", "models")


@pytest.fixture
def line(tmp_path, inspection):
    """A database with a little of everything, and its file."""
    file = tmp_path / "line.db"
    with Records.open(f"sqlite:///{file}", station="line 1") as records:
        for number in range(6):
            given = inspection("NG", f"cap_{number}")
            records.record([given], arrival=f"a{number}", lot="L1", operator="kim")
        records.review(given.id, "OK", reviewer="lee", note="dust")
        records.add_event("limits changed", actor="kim", data={"ok": 1.5})
        yield records, file


def tamper(file, *statements):
    """What somebody with access to the file can do."""
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def messages(records, **options):
    return [problem.message for problem in records.verify(**options).problems]


def test_an_untouched_trail_is_intact(line):
    records, _ = line
    report = records.verify()
    assert report.intact
    assert (report.entries, report.inspections, report.reviews) == (9, 6, 1)
    assert report.head == records.events(limit=1)[0].hash


def test_a_new_database_is_intact(records):
    assert records.verify().intact
    assert [event.kind for event in records.events()] == ["created"]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE inspections SET verdict='OK' WHERE arrival='a2'", "of entry 4 was altered"),
        ("UPDATE inspections SET score=score+1e-9 WHERE arrival='a2'", "of entry 4 was altered"),
        ("UPDATE inspections SET operator='x' WHERE arrival='a2'", "of entry 4 was altered"),
        ("UPDATE regions SET area=area+1 WHERE inspection=3", "of entry 4 was altered"),
        ("DELETE FROM regions WHERE inspection=3", "of entry 4 was altered"),
        ("DELETE FROM inspections WHERE arrival='a2'", "of entry 4 was removed"),
        ("UPDATE reviews SET verdict='NG'", "of entry 8 was altered"),
        ("DELETE FROM reviews", "of entry 8 was removed"),
        ("UPDATE events SET actor='x' WHERE seq=4", "entry 4 was altered"),
        ("UPDATE events SET data='{}' WHERE seq=9", "entry 9 was altered"),
        ("UPDATE events SET at='2020-01-01 00:00:00.000000' WHERE seq=9", "entry 9 was altered"),
        ("UPDATE events SET at='yesterday' WHERE seq=5", "entry 5 was altered"),
        ("UPDATE events SET hash='00' WHERE seq=5", "entry 5 was altered"),
        ("UPDATE inspections SET taken_at='yesterday' WHERE arrival='a2'", "entry 4 speaks of"),
        ("UPDATE inspections SET score=x'00' WHERE arrival='a2'", "entry 4 speaks of"),
        ("DELETE FROM events WHERE seq=5", "entry 5 is missing"),
        ("DELETE FROM events WHERE seq IN (5, 6)", "entries 5 to 6 are missing"),
        ("DELETE FROM events WHERE seq=1", "entry 1 is missing"),
        ("DELETE FROM events", "the trail is empty"),
        ("UPDATE inspections SET event=99 WHERE arrival='a2'", "point to entries that do not"),
    ],
)
def test_tampering_is_found_and_located(line, statement, said):
    records, file = line
    tamper(file, statement)
    assert any(said in message for message in messages(records)), messages(records)


def test_an_inserted_inspection_is_found(line):
    records, file = line
    with closing(sqlite3.connect(file)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(inspections)")]
    copied = [{"number": "99", "id": "'new'", "arrival": "'new'"}.get(n, n) for n in names]
    tamper(file, f"INSERT INTO inspections SELECT {','.join(copied)} FROM inspections LIMIT 1")
    assert messages(records) == ["inspection new was inserted: entry 2 does not speak of it"]


def test_an_entry_rewritten_with_a_fitting_hash_breaks_the_next_one(line):
    records, file = line
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM events WHERE seq=5").fetchone())
    event = next(e for e in records.events(limit=50) if e.seq == 5)
    forged = entry_hash({**row, "at": event.at, "actor": "nobody"})
    tamper(file, f"UPDATE events SET actor='nobody', hash='{forged}' WHERE seq=5")
    assert messages(records) == [
        "entry 6 does not continue entry 5: one of them was inserted or replaced"
    ]


def test_entries_cut_off_at_the_end_show_against_a_noted_hash(line):
    records, file = line
    noted = records.verify().head
    records.add_event("tick")
    assert records.verify(expect=noted).intact
    tamper(file, "DELETE FROM events WHERE seq >= 9")
    assert records.verify().intact
    assert "is not in the trail" in messages(records, expect=noted)[0]


def test_the_first_hash_is_expected_of_any_trail(line):
    assert line[0].verify(expect=FIRST).intact


def test_a_long_trail_is_checked_across_its_chunks(lite, inspection):
    for number in range(210):
        lite.add_event("tick", data={"number": number})
    report = lite.verify()
    assert report.intact and report.entries == 211


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.text(), actor=st.none() | st.text(), subject=st.none() | st.text(),
    data=st.dictionaries(st.text(), plain, max_size=4),
)  # fmt: skip
def test_anything_can_be_noted_and_stays_verifiable(lite, kind, actor, subject, data):
    lite.add_event(kind, actor=actor, subject=subject, data=data)
    event = lite.events(limit=1)[0]
    assert event.data == data
    assert lite.verify().intact


FIELDS = st.fixed_dictionaries(
    {
        "seq": st.integers(1, 5),
        "kind": st.text(max_size=3),
        "station": st.text(max_size=3),
        "actor": st.none() | st.text(max_size=3),
        "subject": st.none() | st.text(max_size=3),
        "data": st.text(max_size=3),
        "previous": st.text(max_size=3),
        # Within what every time zone can tell in UTC: a year 1 in Canberra has none.
        "at": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()),
    }
)


@given(FIELDS, FIELDS)
def test_entries_have_the_same_hash_only_if_they_say_the_same(one, other):
    assert (entry_hash(one) == entry_hash(other)) == (one == other)
