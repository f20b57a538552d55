"""One watcher for each folder: a lock that the system releases when its holder dies."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from goodpart.errors import GoodpartError


class FolderLock:
    """Hold a folder until :meth:`release`, or until the process ends in whatever way.

    Parameters
    ----------
    file : Path
        The lock file; its folder must exist. It stays behind, empty of meaning.
    what : str
        What is locked, for the message.

    Raises
    ------
    GoodpartError
        Another process holds it, or the file cannot be opened.
    """

    def __init__(self, file: Path, what: str) -> None:
        try:
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise GoodpartError(f"{what}: cannot be locked: {error.strerror or error}") from None
        try:
            _lock(self._handle)
        except OSError:
            holder = os.pread(self._handle, 32, 1) if hasattr(os, "pread") else b""
            os.close(self._handle)
            number = holder.decode("ascii", "replace").strip()
            who = f"process {number}" if number else "another process"
            raise GoodpartError(
                f"{what}: {who} already watches it; stop that one first, or give another folder"
            ) from None
        # Byte 0 is what Windows locks; the process id behind it stays readable.
        os.lseek(self._handle, 1, os.SEEK_SET)
        os.write(self._handle, f"{os.getpid():<31d}".encode("ascii"))

    def release(self) -> None:
        """Let another process have it."""
        os.close(self._handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
