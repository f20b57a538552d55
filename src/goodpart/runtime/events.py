"""What the system tells of the inbox, at once: a file was renamed into place, or closed.

On Linux inotify is asked directly. watchdog, which does it elsewhere, holds every event that
follows a file's moving *away* back for half a second, to pair it with an arrival; and each claim
moves a file away.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

Told = Callable[[Path | None, bool], None]
"""Called as ``told(path, whole)``: something happened to a path, and whether it was renamed into
place or closed by its writer; ``(None, False)``: look at everything again."""

_HEADER = struct.Struct("iIII")
_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x8, 0x80, 0x100
_OVERFLOW, _IGNORED, _IS_DIR, _ONLY_DIR = 0x4000, 0x8000, 0x40000000, 0x01000000


class Events(Protocol):
    """A source of events."""

    def watch(self, folder: Path) -> None:
        """Tell of a further folder (not of those below it).

        Raises
        ------
        OSError
            The folder is gone, or the system has no watches left.
        """

    def close(self) -> None:
        """Stop; nothing is told afterwards."""


def system_events(told: Told) -> Events:
    """The events of this system.

    Raises
    ------
    OSError
        The system gives none (no inotify instances left).
    """
    return Inotify(told) if sys.platform == "linux" else Watchdog(told)


class Inotify:
    """inotify(7): events arrive within a fraction of a millisecond."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._library = ctypes.CDLL(None, use_errno=True)
        self._handle = self._checked(self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._stop_read, self._stop_write = os.pipe()
        self._folders: dict[int, Path] = {}
        self._thread = threading.Thread(target=self._run, name="goodpart-events", daemon=True)
        self._thread.start()

    def watch(self, folder: Path) -> None:
        """See :class:`Events`."""
        mask = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE | _ONLY_DIR
        number = self._library.inotify_add_watch(self._handle, os.fsencode(folder), mask)
        self._folders[self._checked(number)] = folder

    def close(self) -> None:
        """See :class:`Events`."""
        os.write(self._stop_write, b"x")
        self._thread.join()
        for handle in (self._handle, self._stop_read, self._stop_write):
            os.close(handle)

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number) if number else "inotify failed")
        return result

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._handle, self._stop_read], [], [])
            if self._stop_read in ready:
                return
            try:
                data = os.read(self._handle, 65536)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    continue
                raise
            self._tell(data)

    def _tell(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, position)
            position += _HEADER.size
            name = data[position : position + length].rstrip(b"\0")
            position += length
            if mask & _IGNORED:
                self._folders.pop(number, None)
            folder = self._folders.get(number)
            if mask & (_OVERFLOW | _IGNORED | _IS_DIR) or folder is None or not name:
                self._told(None, False)
            else:
                whole = bool(mask & (_CLOSE_WRITE | _MOVED_TO))
                self._told(folder / os.fsdecode(name), whole)


class Watchdog:
    """The events that the watchdog library gives."""

    def __init__(self, told: Told) -> None:
        from watchdog.observers import Observer

        self._told = told
        self._observer: Any = Observer()
        self._observer.start()

    def watch(self, folder: Path) -> None:
        """See :class:`Events`."""
        from watchdog.events import FileSystemEventHandler

        told = self._told

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: Any) -> None:
                if event.is_directory:
                    told(None, False)
                elif event.event_type == "moved":
                    told(Path(os.fsdecode(event.dest_path)), True)
                elif event.event_type in ("created", "modified", "closed"):
                    told(Path(os.fsdecode(event.src_path)), event.event_type == "closed")

        self._observer.schedule(Handler(), str(folder), recursive=False)

    def close(self) -> None:
        """See :class:`Events`."""
        self._observer.stop()
        self._observer.join()


def is_network_share(folder: Path) -> bool:
    """Whether a folder lies on a network share, whose events other machines' writing lacks.

    Known on Linux only; elsewhere say ``events = "polling"`` in the line file.
    """
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return False
    path = folder.resolve()
    kinds = {}
    for line in lines:
        fields = line.split(" ")
        place = fields[1].encode("ascii", "replace").decode("unicode_escape")
        if path.is_relative_to(place):
            kinds[place] = fields[2]
    kind = kinds[max(kinds, key=len)] if kinds else ""
    return kind in ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ncpfs", "afs", "ceph") or (
        kind.startswith("fuse.") and kind != "fuse.ext2"
    )
