"""What tests of several rooms share: a PostgreSQL server of their own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest


class PostgreSQL:
    """A server in a temporary folder: ``create()`` gives the URL of a new database."""

    def __init__(self, binaries: Path, folder: Path, account: str | None) -> None:
        self.binaries, self.folder, self.account = binaries, folder, account
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs; root may not, so an account without rights does."""
        extra = {}
        if self.account:
            import pwd

            known = pwd.getpwnam(self.account)
            extra = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": []}
        subprocess.run(
            [self.binaries / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd=self.folder,
            timeout=60,
            **extra,
        )

    def start(self) -> None:
        options = (
            f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off "
            "-c shared_buffers=16MB -c max_connections=50"
        )
        data = str(self.folder / "data")
        self.run("pg_ctl", "-D", data, "-o", options, "-w", "-l", "/dev/null", "start")

    def stop(self) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def create(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "goodpart", name)
        return f"postgresql+psycopg://goodpart:secret@127.0.0.1:{self.port}/{name}"


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
        try:
            data = str(folder / "data")
            server.run(
                "initdb", "-D", data, "-U", "goodpart", "-A", "trust", "-E", "UTF8", "--no-sync",
                "--locale=C",
            )  # fmt: skip
            server.start()
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"PostgreSQL does not start here: {error}")
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
