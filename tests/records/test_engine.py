"""Databases that are not there, full, locked or not ours: one clear line, without the password."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from goodpart.errors import MissingExtraError
from goodpart.records import Records, RecordsError, RecordsUnavailable
from goodpart.records import engine as module
from goodpart.records.engine import parse_url, public_url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("goodpart.db", "must be given as"),
        ("mysql://root:secret@host/x", "kind mysql are not supported"),
        ("sqlite://", "a file that lasts"),
        ("sqlite:///:memory:", "a file that lasts"),
        ("u:secret@host", "must be given as"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_its_password(url, message):
    with pytest.raises(RecordsError, match=message) as caught:
        Records.open(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_a_shown_url_has_no_password(scheme):
    url = parse_url(f"{scheme}://kim:secret@host/line?password=secret&sslmode=require")
    assert public_url(url) == "postgresql+psycopg://kim:***@host/line"


def test_a_server_that_is_not_there_is_unavailable_and_its_password_stays_hidden():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(RecordsUnavailable) as caught:
            Records.open(f"postgresql+psycopg://kim:secret@127.0.0.1:{port}/line")
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_psycopg_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgresql"):
        Records.open("postgresql+psycopg://kim@host/line")


def test_a_server_that_goes_away_and_returns_loses_nothing(postgresql, inspection):
    with Records.open(postgresql.create(), station="line 1") as records:
        records.record([inspection()], arrival="a1")
        given = inspection()
        postgresql.stop()
        try:
            with pytest.raises(RecordsUnavailable):
                records.record([given], arrival="a2")
            with pytest.raises(RecordsUnavailable):
                records.ping()
        finally:
            assert postgresql.start()
        records.ping()
        records.record([given], arrival="a2")
        records.record([given], arrival="a2")
        assert [r.arrival for r in records.find()] == ["a2", "a1"]
        assert records.verify().intact


def test_a_locked_database_is_unavailable_until_it_is_free(tmp_path, inspection, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    file = tmp_path / "line.db"
    with Records.open(f"sqlite:///{file}") as records:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RecordsUnavailable, match="locked"):
                records.record([inspection()], arrival="a1")
            other.execute("ROLLBACK")
        records.record([inspection()], arrival="a1")
        assert len(records.find()) == 1


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 100, b"SQLite format 3\0" + b"x" * 4096]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, content):
    file = tmp_path / "line.db"
    file.write_bytes(content)
    with pytest.raises(RecordsError):
        Records.open(f"sqlite:///{file}")
    assert file.read_bytes() == content


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("a small disk can only be mounted by root on Linux")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_unavailable_and_recording_goes_on_when_there_is_room(
    small_disk, inspection
):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(200_000))
    with Records.open(f"sqlite:///{small_disk / 'line.db'}") as records:
        recorded = []

        def fill():
            while True:
                given = inspection("NG", message="x" * 3000)
                records.record([given], arrival=f"a{len(recorded)}")
                recorded.append(f"a{len(recorded)}")

        refused = inspection("NG", message="x" * 3000)
        with pytest.raises(RecordsUnavailable, match="full"):
            fill()
        assert len(recorded) > 5
        assert records.by_arrival(f"a{len(recorded)}") == []
        with pytest.raises(RecordsUnavailable, match="full"):
            records.record([refused], arrival=f"a{len(recorded)}")
        ballast.unlink()
        records.record([refused], arrival=f"a{len(recorded)}")
        found = [r.arrival for r in records.find(limit=10_000)]
        assert found[::-1] == [*recorded, f"a{len(recorded)}"]
        assert records.verify().intact
    with closing(sqlite3.connect(small_disk / "line.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_full_disk_keeps_no_half_an_image(small_disk, inspection):
    import numpy as np

    from goodpart.records import ImageStore

    store = ImageStore(small_disk / "images")
    noise = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3)).astype(np.uint8)
    given = inspection(image=noise)
    with pytest.raises(RecordsUnavailable, match="cannot be kept"):
        store.keep(given)
    assert [path for path in store.folder.rglob("*") if path.is_file()] == []
