"""What tests of several rooms share: a PostgreSQL server of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("goodpart", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("goodpart")


class PostgreSQL:
    """A server in a temporary folder: ``create()`` gives the URL of an empty one."""

    def __init__(self, binaries: Path, folder: Path, account: str | None) -> None:
        self.binaries, self.folder, self.account = binaries, folder, account
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def _open(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of its programs; root may not, so an account without rights does."""
        extra = {}
        if self.account:
            import pwd

            known = pwd.getpwnam(self.account)
            extra = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            [self.binaries / program, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            **extra,
        )

    def run(self, program: str, *arguments: str) -> int:
        return self._open(program, *arguments).wait(60)

    def start(self) -> bool:
        """Start the server and say whether it answers."""
        settings = ("listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=16MB")
        options = [text for setting in settings for text in ("-c", setting)]
        place = ("-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port))
        self.server = self._open("postgres", *place, *options)
        end = time.monotonic() + 60
        while time.monotonic() < end and self.server.poll() is None:
            if self.run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port)) == 0:
                return True
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(60)

    def create(self) -> str:
        """The URL of an empty place: a schema, which is made sooner than a database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "goodpart", "-d", "postgres")
        assert self.run("psql", *where, "-c", f"CREATE SCHEMA {name}") == 0
        address = f"goodpart:secret@127.0.0.1:{self.port}/postgres"
        return f"postgresql+psycopg://{address}?options=-csearch_path%3D{name}"


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = found[-1] if found else shutil.which("initdb")
    return Path(path).parent if path else None


@pytest.fixture(scope="session")
def postgresql():
    """A running PostgreSQL server; skipped, with the reason, where there can be none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    account = None
    folder = Path(tempfile.mkdtemp(prefix="goodpart-postgresql-"))
    if os.geteuid() == 0:
        account = "nobody"
        shutil.chown(folder, account)
    server = PostgreSQL(binaries, folder, account)
    try:
        data = ("-D", str(folder / "data"), "-U", "goodpart", "-A", "trust", "-E", "UTF8")
        made = server.run("initdb", *data, "--no-sync", "--locale=C") == 0
        if not (made and server.start()):
            pytest.skip("PostgreSQL is installed but does not start here")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
