"""Find, stream and count records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Select, case, func, select

from goodpart.records.content import record_from, regions_of, reviews_of
from goodpart.records.errors import RecordsError
from goodpart.records.record import Count, Filter, Record
from goodpart.records.schema import InspectionRow as Row
from goodpart.records.schema import ReviewRow

CHUNK = 500
GROUPS = {
    "day": Row.day,
    "lot": Row.lot,
    "station": Row.station,
    "model": Row.model_id,
    "recipe": Row.recipe,
}


def conditions(wanted: Filter) -> list[Any]:
    """The SQL conditions of a filter."""
    found: list[Any] = []
    if wanted.since is not None:
        found.append(Row.taken_at >= wanted.since)
    if wanted.until is not None:
        found.append(Row.taken_at < wanted.until)
    if wanted.verdicts:
        found.append(Row.verdict.in_([str(verdict) for verdict in wanted.verdicts]))
    for column, value in (
        (Row.lot, wanted.lot),
        (Row.station, wanted.station),
        (Row.operator, wanted.operator),
        (Row.recipe, wanted.recipe),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.model is not None:
        found.append(Row.model_id.startswith(wanted.model, autoescape=True))
    if wanted.part is not None:
        text = wanted.part
        found.append(
            Row.part.icontains(text, autoescape=True) | Row.source.icontains(text, autoescape=True)
        )
    if wanted.reviewed is not None:
        review = select(ReviewRow.id).where(ReviewRow.inspection == Row.number).exists()
        found.append(review if wanted.reviewed else ~review)
    return found


def load(connection: Connection, query: Select[Any]) -> list[Record]:
    """The records of a query on inspection rows, with their regions and reviews."""
    rows: Sequence[Any] = connection.execute(query).mappings().all()
    numbers = [row["number"] for row in rows]
    regions = regions_of(connection, numbers)
    reviews = reviews_of(connection, numbers)
    return [record_from(row, regions[row["number"]], reviews[row["number"]]) for row in rows]


def by_arrival(connection: Connection, arrival: str) -> list[Record]:
    """Every part of an arrival, in the order it was recorded in."""
    query = select(Row.__table__).where(Row.arrival == arrival).order_by(Row.place)
    return load(connection, query)


def find(connection: Connection, wanted: Filter, *, limit: int, before: int | None) -> list[Record]:
    """Newest first; ``before`` a record's number gives the page after it."""
    query = select(Row.__table__).where(*conditions(wanted)).order_by(Row.number.desc())
    if before is not None:
        query = query.where(Row.number < before)
    return load(connection, query.limit(limit))


def stream(engine: Engine, wanted: Filter) -> Iterator[list[Record]]:
    """Oldest first, in chunks, each in a transaction of its own: nothing is held up meanwhile."""
    last = None
    while True:
        query = select(Row.__table__).where(*conditions(wanted)).order_by(Row.number).limit(CHUNK)
        if last is not None:
            query = query.where(Row.number > last)
        with engine.connect() as connection:
            records = load(connection, query)
        if records:
            yield records
        if len(records) < CHUNK:
            return
        last = records[-1].number


def counts(connection: Connection, wanted: Filter, by: str) -> list[Count]:
    """Counts of verdicts for each day, lot, station, model or recipe.

    Raises
    ------
    RecordsError
        There is no such grouping.
    """
    if by not in GROUPS:
        raise RecordsError(f"records are counted by {', '.join(GROUPS)}, not by {by!r}")
    group = GROUPS[by]

    def verdict(name: str) -> Any:
        return func.sum(case((Row.verdict == name, 1), else_=0))

    query = (
        select(group, verdict("OK"), verdict("NG"), verdict("CHECK"), verdict("NOT_JUDGED"))
        .where(*conditions(wanted))
        .group_by(group)
        .order_by(group)
    )
    return [Count(name, *map(int, rest)) for name, *rest in connection.execute(query)]
