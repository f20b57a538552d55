"""The audit trail: append entries to the chain of hashes, and check the whole chain.

Each entry's hash is the SHA-256 of the canonical JSON of the entry, the hash of the entry before
it included. Entries about models, inspections and reviews carry the hash of their content, so
that the rows themselves are covered: a verdict altered in the table no longer fits its entry.

Somebody who can write to the database can also rebuild the chain from any point on. Noting the
head's hash somewhere else from time to time (``audit verify`` prints it) and asking for it later
(``--expect``) detects that, and entries cut off at the end as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, text

from goodpart.progress import Progress
from goodpart.records import content
from goodpart.records.canonical import canonical, digest, moment, now, optional, storable
from goodpart.records.content import Values
from goodpart.records.schema import EventRow, InspectionRow, ModelRow, ReviewRow

FIRST = "0" * 64
"""What the first entry has in the place of the hash before it."""

CHUNK = 200
MOST_PROBLEMS = 100
ADVISORY_LOCK = 0x676F6F6470617274  # "goodpart": one lock for all writers of a PostgreSQL database


@dataclass(frozen=True)
class Event:
    """An entry of the audit trail.

    Parameters
    ----------
    seq : int
        1, 2, 3, ... without gaps.
    at : datetime
        UTC.
    kind : str
        ``"created"``, ``"migrated"``, ``"model"``, ``"inspected"``, ``"reviewed"``,
        ``"pruned"``, ``"exported"`` and whatever other rooms add.
    station : str
    actor : str or None
        Who did it.
    subject : str or None
        What it is about: an arrival, an inspection's id, a model's version.
    data : dict
    hash : str
    """

    seq: int
    at: datetime
    kind: str
    station: str
    actor: str | None
    subject: str | None
    data: dict[str, Any]
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**self.__dict__, "at": self.at.isoformat()}


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was written.

    Parameters
    ----------
    seq : int
        The entry of the trail where it shows.
    message : str
    """

    seq: int
    message: str


@dataclass
class Report:
    """What :func:`verify` found.

    Parameters
    ----------
    entries, inspections, reviews, models : int
        How many were checked.
    head : str
        Hash of the last entry.
    problems : list of Problem
        At most 100; empty where everything is as it was written.
    """

    entries: int = 0
    inspections: int = 0
    reviews: int = 0
    models: int = 0
    head: str = FIRST
    problems: list[Problem] = field(default_factory=list)

    @property
    def intact(self) -> bool:
        """Nothing was found."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        problems = [{"entry": each.seq, "message": each.message} for each in self.problems]
        return {**self.__dict__, "intact": self.intact, "problems": problems}

    def add(self, seq: int, message: str) -> None:
        """Note a problem; beyond 100 the first ones say enough."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(seq, message))


def entry_hash(row: Values) -> str:
    """Hash of an entry.

    Parameters
    ----------
    row : mapping
        ``seq, at, kind, station, actor, subject, data`` (the text as stored) and ``previous``.
    """
    names = ("seq", "kind", "station", "actor", "subject", "data", "previous")
    return digest({**{name: row[name] for name in names}, "at": moment(row["at"])})


def lock(connection: Connection) -> None:
    """Hold off every other writer until the transaction ends.

    SQLite's transactions began as the only writer already.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})


def append(
    connection: Connection,
    kind: str,
    *,
    station: str,
    actor: str | None = None,
    subject: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> int:
    """Add an entry in the connection's transaction and give its number.

    The caller holds :func:`lock` since the transaction began.
    """
    last = connection.execute(
        select(EventRow.seq, EventRow.hash).order_by(EventRow.seq.desc()).limit(1)
    ).first()
    row: dict[str, Any] = {
        "seq": 1 if last is None else last.seq + 1,
        "at": now(),
        "kind": storable(kind),
        "station": storable(station),
        "actor": optional(actor),
        "subject": optional(subject),
        "data": storable(canonical(dict(data or {}))),
        "previous": FIRST if last is None else last.hash,
    }
    connection.execute(insert(EventRow), {**row, "hash": entry_hash(row)})
    return int(row["seq"])


def read_events(
    connection: Connection, *, kind: str | None, limit: int, before: int | None
) -> list[Event]:
    """Entries, newest first."""
    query = select(EventRow.__table__).order_by(EventRow.seq.desc()).limit(limit)
    if kind is not None:
        query = query.where(EventRow.kind == kind)
    if before is not None:
        query = query.where(EventRow.seq < before)
    return [_event(row) for row in connection.execute(query).mappings()]


def _event(row: Values) -> Event:
    values = {name: row[name] for name in ("seq", "at", "kind", "station", "actor", "subject")}
    return Event(**values, data=_data(row) or {}, hash=row["hash"])


def verify(
    connection: Connection, *, expect: str | None = None, progress: Progress | None = None
) -> Report:
    """Check every entry, and every row that entries speak of.

    Parameters
    ----------
    connection : Connection
    expect : str, optional
        A hash noted earlier: it must still be in the trail.
    progress : callable, optional
    """
    report = Report()
    total = connection.execute(select(func.count()).select_from(EventRow)).scalar_one()
    last, seen = 0, expect is None or expect == FIRST
    for rows in _chunks(connection):
        start = last
        for row in rows:
            _check_entry(row, last, report)
            last, report.head = row["seq"], row["hash"]
            seen = seen or row["hash"] == expect
        report.entries += len(rows)
        _check_range(connection, rows, start + 1, last, report)
        if progress is not None:
            progress("verifying", report.entries, max(total, report.entries))
    if not report.entries:
        report.add(0, "the trail is empty: all entries were removed")
    _check_strays(connection, last, report)
    if not seen:
        report.add(
            last,
            f"the expected hash {expect} is not in the trail: entries were removed from its end, "
            "or it was rewritten",
        )
    return report


def _chunks(connection: Connection) -> Iterator[Sequence[Values]]:
    last = None
    while True:
        query = select(EventRow.__table__).order_by(EventRow.seq).limit(CHUNK)
        if last is not None:
            query = query.where(EventRow.seq > last)
        rows: Sequence[Values]
        try:
            rows = connection.execute(query).mappings().all()
        except ValueError:  # a time that is no time any more: find out whose
            rows = _one_by_one(connection, query)
        if not rows:
            return
        yield rows
        last = rows[-1]["seq"]


def _one_by_one(connection: Connection, query: Any) -> list[Values]:
    """The rows of a query on events; those that cannot be read have no time."""
    rows: list[Values] = []
    for seq, stored in connection.execute(query.with_only_columns(EventRow.seq, EventRow.hash)):
        single = select(EventRow.__table__).where(EventRow.seq == seq)
        try:
            rows.append(connection.execute(single).mappings().one())
        except ValueError:
            rows.append({"seq": seq, "hash": stored, "at": None})
    return rows


def _check_entry(row: Values, last: int, report: Report) -> None:
    seq = row["seq"]
    if row["at"] is None:
        report.add(seq, f"entry {seq} was altered: its time cannot be read")
        return
    if seq != last + 1:
        gap = f"entry {last + 1} is" if seq == last + 2 else f"entries {last + 1} to {seq - 1} are"
        report.add(seq, f"{gap} missing" if seq > last else f"entry {seq} is out of order")
    elif row["previous"] != report.head:
        report.add(
            seq, f"entry {seq} does not continue entry {last}: one of them was inserted or replaced"
        )
    if entry_hash(row) != row["hash"]:
        report.add(seq, f"entry {seq} was altered ({row['kind']}, {moment(row['at'])})")


def _data(row: Values) -> dict[str, Any] | None:
    try:
        data = json.loads(row["data"])
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _listed(rows: Sequence[Values], kind: str) -> dict[str, tuple[int, str]]:
    """Key of each row that the entries speak of: the entry, and the content's hash."""
    found = {}
    for row in rows:
        if row.get("kind") == kind:
            contents = (_data(row) or {}).get("content")
            if isinstance(contents, dict):
                found.update({str(key): (row["seq"], value) for key, value in contents.items()})
    return found


def _check_range(
    connection: Connection,
    rows: Sequence[Values],
    start: int,
    end: int,
    report: Report,
) -> None:
    """As :func:`_check_contents`; a value of the wrong kind is traced to its entry."""
    try:
        _check_contents(connection, rows, start, end, report)
    except (TypeError, ValueError) as error:
        if len(rows) == 1:
            report.add(end, f"what entry {end} speaks of was altered: {error}")
            return
        for row in rows:
            _check_range(connection, [row], start, row["seq"], report)
            start = row["seq"] + 1


def _check_contents(
    connection: Connection,
    rows: Sequence[Values],
    start: int,
    end: int,
    report: Report,
) -> None:
    """Compare what entries ``start`` to ``end`` say with the rows that point to them."""
    present = content.hashes(connection, start, end)
    words = {"inspected": "inspection", "reviewed": "review", "model": "model"}
    for kind, word in words.items():
        listed = _listed(rows, kind)
        for key, (seq, wanted) in listed.items():
            if key not in present[kind]:
                report.add(seq, f"{word} {key} of entry {seq} was removed")
            elif present[kind][key][1] != wanted:
                report.add(seq, f"{word} {key} of entry {seq} was altered")
        for key, (seq, _) in present[kind].items():
            if key not in listed:
                report.add(seq, f"{word} {key} was inserted: entry {seq} does not speak of it")
    report.inspections += len(present["inspected"])
    report.reviews += len(present["reviewed"])
    report.models += len(present["model"])


def _check_strays(connection: Connection, last: int, report: Report) -> None:
    """Rows that point to no entry, where foreign keys were switched off."""
    for table, word in ((InspectionRow, "inspection"), (ReviewRow, "review"), (ModelRow, "model")):
        known = select(EventRow.seq).where(EventRow.seq == table.event).exists()
        outside = (table.event < 1) | (table.event > last)
        count = connection.execute(
            select(func.count()).select_from(table).where(outside, ~known)
        ).scalar_one()
        if count:
            report.add(last, f"{count} {word} rows point to entries that do not exist")
