"""The spool of messages: written with the verdict in one transaction, sent at least once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from goodpart.records.canonical import canonical, now, storable
from goodpart.records.errors import RecordsError
from goodpart.records.record import Message, Pending
from goodpart.records.schema import OutboxRow as Row

PENDING, SENT, FAILED = "pending", "sent", "failed"


def rows(messages: Iterable[Message], *, station: str, at: datetime) -> list[dict[str, Any]]:
    """Rows of new messages, due at once.

    Raises
    ------
    RecordsError
        A payload is nothing that JSON can hold.
    """
    found = []
    for message in messages:
        try:
            payload = canonical(message.payload)
        except (TypeError, ValueError) as error:
            raise RecordsError(
                f"output {message.output}: the payload is not JSON: {error}"
            ) from None
        found.append(
            {
                "output": storable(message.output),
                "key": storable(message.key),
                "station": station,
                "payload": storable(payload),
                "state": PENDING,
                "attempts": 0,
                "next_attempt": at,
                "created_at": at,
            }
        )
    return found


def add(connection: Connection, new: Sequence[dict[str, Any]]) -> None:
    """Spool messages in the connection's transaction."""
    if new:
        connection.execute(insert(Row), new)


def due(
    connection: Connection, station: str, *, limit: int, output: str | None, at: datetime
) -> list[Pending]:
    """Messages whose time has come, oldest first."""
    query = (
        select(Row.__table__)
        .where(Row.station == station, Row.state == PENDING, Row.next_attempt <= at)
        .order_by(Row.id)
        .limit(limit)
    )
    if output is not None:
        query = query.where(Row.output == output)
    return [
        Pending(
            row["id"],
            row["output"],
            row["key"],
            json.loads(row["payload"]),
            row["attempts"],
            row["created_at"],
        )
        for row in connection.execute(query).mappings()
    ]


def sent(connection: Connection, ids: Sequence[int]) -> None:
    """Note that messages went out."""
    connection.execute(
        update(Row).where(Row.id.in_(list(ids))).values(state=SENT, done_at=now(), error=None)
    )


def failed(connection: Connection, message: int, error: str, *, retry_in: float | None) -> None:
    """Note a vain attempt: try again after some seconds, or (``None``) give up."""
    at = now()
    values: dict[str, Any] = {"attempts": Row.attempts + 1, "error": storable(error)}
    if retry_in is None:
        values |= {"state": FAILED, "done_at": at}
    else:
        values["next_attempt"] = at + timedelta(seconds=retry_in)
    connection.execute(update(Row).where(Row.id == message).values(**values))


def waiting(connection: Connection, station: str) -> dict[str, int]:
    """How many messages of each output wait."""
    query = (
        select(Row.output, func.count().label("number"))
        .where(Row.station == station, Row.state == PENDING)
        .group_by(Row.output)
    )
    return {row.output: row.number for row in connection.execute(query)}


def next_at(connection: Connection, station: str, output: str | None) -> datetime | None:
    """When the next message is due."""
    query = select(func.min(Row.next_attempt)).where(Row.station == station, Row.state == PENDING)
    if output is not None:
        query = query.where(Row.output == output)
    return connection.execute(query).scalar_one()


def forget_sent(connection: Connection, before: datetime) -> int:
    """Remove messages that went out before a time; those that wait or failed stay."""
    result = connection.execute(delete(Row).where(Row.state == SENT, Row.done_at < before))
    return int(result.rowcount)
