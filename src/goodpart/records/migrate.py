"""Create a database, bring an older one up to date, refuse a newer or a foreign one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from goodpart.records import audit
from goodpart.records.engine import make_engine, public_url, translated
from goodpart.records.errors import RecordsError

SCRIPTS = Path(__file__).parent / "migrations"
HEAD = "0001"
"""Revision of the tables in :mod:`goodpart.records.schema`; known without loading Alembic."""


def prepare(url: URL, *, station: str, create: bool) -> None:
    """Bring the database to :data:`HEAD`; an older SQLite file is copied first.

    Raises
    ------
    RecordsError
        Written by a newer goodpart, not goodpart's, or missing without ``create``.
    RecordsUnavailable
        It cannot be reached.
    """
    where = public_url(url)
    engine = make_engine(url, migrating=True)
    try:
        with translated(where):
            with engine.connect() as connection:
                found = _revision(connection, where)
            if found == HEAD:
                return
            if found is None and not create:
                raise RecordsError(f"{where}: holds no records")
            writer = engine.execution_options(write=True)
            with writer.begin() as connection:
                audit.lock(connection)
                found = _revision(connection, where)  # somebody else may have been quicker
                if found == HEAD:
                    return
                if found is not None and found not in _revisions():
                    raise RecordsError(
                        f"{where}: written by a newer goodpart (tables {found}, this one knows "
                        f"up to {HEAD}); update goodpart"
                    )
                if found is not None:
                    _back_up(url, found)
                _upgrade(connection)
                audit.append(
                    connection,
                    "created" if found is None else "migrated",
                    station=station,
                    data={"from": found, "to": HEAD},
                )
    finally:
        engine.dispose()


def _revision(connection: Connection, where: str) -> str | None:
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables and "inspections" in tables:
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    if tables:
        raise RecordsError(f"{where}: is a database of another program (no inspections in it)")
    return None


def _config(connection: Connection | None = None) -> object:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revisions() -> list[str]:
    from alembic.script import ScriptDirectory

    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()]  # type: ignore[arg-type]


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), "head")  # type: ignore[arg-type]


def _back_up(url: URL, revision: str) -> None:
    """Copy a SQLite file beside itself; PostgreSQL's own tools back up a server."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return
    source = Path(url.database)
    target = source.with_name(f"{source.name}.{revision}.bak")
    count = 1
    while target.exists():
        count += 1
        target = source.with_name(f"{source.name}.{revision}.{count}.bak")
    # A second connection reads what is committed while the first holds writers off.
    old, new = sqlite3.connect(source), sqlite3.connect(target)
    try:
        old.backup(new)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise RecordsError(f"{target}: the copy before migrating failed: {error}") from None
    finally:
        old.close()
        new.close()
