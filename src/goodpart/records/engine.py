"""Connections: SQLite made durable, PostgreSQL quick to notice a dead network, clear errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event, exc, make_url
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from goodpart.errors import MissingExtraError
from goodpart.records.errors import RecordsError, RecordsUnavailable

BUSY_SECONDS = 10.0
EXAMPLES = "sqlite:///goodpart.db or postgresql+psycopg://user@host/database"

# libpq: give up connecting after 5 s, notice a peer that is gone within about 10 s.
POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def parse_url(text: str) -> URL:
    """Check a database URL.

    Raises
    ------
    RecordsError
        It is no URL, or of a database that is not supported.
    """
    try:
        url = make_url(text)
    except exc.ArgumentError:
        # The text itself stays out of the message: it may hold a password.
        raise RecordsError(f"the database must be given as {EXAMPLES}") from None
    if url.drivername in ("postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise RecordsError(f"databases of the kind {url.drivername} are not supported: {EXAMPLES}")
    if url.database in (None, "", ":memory:"):
        raise RecordsError("records need a file that lasts, such as sqlite:///goodpart.db")
    return url


def public_url(url: URL) -> str:
    """The URL as messages and logs may show it: without password and without options."""
    return url.set(query={}).render_as_string(hide_password=True)


def make_engine(url: URL, *, migrating: bool = False) -> Engine:
    """Connect lazily.

    Parameters
    ----------
    url : URL
        From :func:`parse_url`.
    migrating : bool
        Leave foreign keys unenforced, because SQLite changes tables by copying them.

    Raises
    ------
    MissingExtraError
        psycopg is not installed.
    """
    if url.get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            poolclass=NullPool if migrating else None,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        _prepare_sqlite(engine, migrating=migrating)
        return engine
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError("psycopg", "postgresql") from None
    return create_engine(url, pool_pre_ping=True, connect_args=POSTGRESQL)


def _prepare_sqlite(engine: Engine, *, migrating: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin below, not behind our back
        # While migrating it may still turn out to be another program's file: left as it is.
        if not migrating and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            _switch_to_wal(connection)
        # FULL: a commit that returned has reached the disk, whatever happens to the power.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'OFF' if migrating else 'ON'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        # A reader that turns writer late cannot wait for its turn; a writer says so at once.
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """The busy timeout does not cover this pragma: several processes may create a database."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the driver's errors into one line; mistakes of ours stay what they are.

    Raises
    ------
    RecordsUnavailable
        The database cannot be reached or written now.
    RecordsError
        The file is damaged or no database.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        raise RecordsUnavailable(
            f"{where}: the records are not available: {_line(error)}"
        ) from None
    except exc.TimeoutError:
        raise RecordsUnavailable(f"{where}: too many connections are in use") from None
    except exc.IntegrityError:
        raise
    except exc.DatabaseError as error:
        if error.connection_invalidated:
            raise RecordsUnavailable(f"{where}: the connection was lost") from None
        if isinstance(error.orig, sqlite3.DatabaseError) and _damaged(error.orig):
            raise RecordsError(
                f"{where}: the database is damaged or no database ({_line(error)}); "
                "put a backup in its place"
            ) from None
        raise


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return "malformed" in str(error) or "not a database" in str(error)


def _line(error: exc.DBAPIError) -> str:
    return " ".join(str(error.orig).split())
