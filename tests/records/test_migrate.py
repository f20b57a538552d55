"""A new database is created, an older one migrated after a copy, a newer one refused."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from goodpart.records import Records, RecordsError, migrate
from goodpart.records.schema import Base

STEP = '''
"""A later step, for the test."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade():
    """Add a column."""
    with op.batch_alter_table("reviews") as table:
        table.add_column(sa.Column("later", sa.Text()))
'''


@pytest.fixture
def later(tmp_path, monkeypatch):
    """Pretend to be a later goodpart while called."""
    scripts = tmp_path / "later"
    shutil.copytree(migrate.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "later.py").write_text(STEP.format(head=migrate.HEAD))

    def pretend():
        monkeypatch.setattr(migrate, "SCRIPTS", scripts)
        monkeypatch.setattr(migrate, "HEAD", "9999")

    yield pretend
    monkeypatch.undo()


def test_tables_and_migrations_agree(url):
    Records.open(url).close()
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_newest_step_is_the_one_the_code_expects():
    assert ScriptDirectory(str(migrate.SCRIPTS)).get_current_head() == migrate.HEAD


def test_an_older_database_is_migrated_and_keeps_its_records(url, inspection, later):
    given = inspection()
    with Records.open(url) as records:
        records.record([given], arrival="a1")
        records.review(given.id, "OK", reviewer="kim")
    later()
    with Records.open(url) as records:
        assert records.get(given.id).review.reviewer == "kim"
        assert records.verify().intact
        event = records.events(limit=1)[0]
        assert (event.kind, event.data) == ("migrated", {"from": "0001", "to": "9999"})
    with Records.open(url) as records:
        assert records.events(limit=1)[0].kind == "migrated"


def test_an_older_sqlite_file_is_copied_before_it_is_migrated(tmp_path, inspection, later):
    file = tmp_path / "line.db"
    with Records.open(f"sqlite:///{file}") as records:
        records.record([inspection()], arrival="a1")
    (tmp_path / "line.db.0001.bak").write_text("an earlier copy")
    later()
    Records.open(f"sqlite:///{file}").close()
    assert (tmp_path / "line.db.0001.bak").read_text() == "an earlier copy"
    with closing(sqlite3.connect(tmp_path / "line.db.0001.2.bak")) as copy:
        assert copy.execute("SELECT count(*) FROM inspections").fetchone() == (1,)
        assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path, later):
    url = f"sqlite:///{tmp_path / 'line.db'}"
    Records.open(url).close()
    step = tmp_path / "later" / "versions" / "later.py"
    step.write_text(step.read_text() + "\n    raise RuntimeError('half way')\n")
    later()
    with pytest.raises(RuntimeError, match="half way"):
        Records.open(url)
    with closing(sqlite3.connect(tmp_path / "line.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        columns = [row[1] for row in connection.execute("PRAGMA table_info(reviews)")]
        assert "later" not in columns


def test_a_newer_database_is_refused_in_one_line(url, later, monkeypatch):
    later()
    Records.open(url).close()
    monkeypatch.undo()
    with pytest.raises(RecordsError, match=r"newer goodpart.*update goodpart") as caught:
        Records.open(url)
    assert "\n" not in str(caught.value)


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(RecordsError, match="another program"):
        Records.open(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_an_empty_file_holds_no_records_until_it_is_opened_for_writing(tmp_path):
    file = tmp_path / "line.db"
    file.touch()
    with pytest.raises(RecordsError, match="holds no records"):
        Records.open(f"sqlite:///{file}", create=False)
    Records.open(f"sqlite:///{file}").close()
    Records.open(f"sqlite:///{file}", create=False).close()
