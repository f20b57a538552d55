"""The inbox: what waits in it, when a file is whole, and the claim.

A claim is one atomic rename into the folder ``.goodpart/claimed`` of the inbox, so on the same
file system. The claim's name holds the identity of the arrival and the file's own name, so that
nothing else has to be written (a full disk does not stop claims) and a restart finds everything.
"""

from __future__ import annotations

import fnmatch
import heapq
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from goodpart.recipe import InputSection
from goodpart.runtime.linefile import WatchSection
from goodpart.runtime.names import Arrival, claim_name, is_strange, new_id, parse_claim
from goodpart.runtime.whole import State, look

OWN_FOLDER = ".goodpart"
PASSED_OVER = ("*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*~")
"""Names that writers use while they write, besides all that begin with a dot."""

STALLED = 10
"""A file that its writer is known to hold open must stand still for so many times ``settle``."""

WINDOWS_IN_USE = 32
"""On Windows a file that its writer holds open cannot be renamed: it is not whole yet."""

Fingerprint = tuple[int, int, int, int]


@dataclass
class Candidate:
    """Something in the inbox that is not claimed yet."""

    path: Path
    lot: str | None
    fingerprint: Fingerprint
    changed: float
    """When it last looked different, on the monotonic clock."""
    closed: bool = False
    """Renamed into place or closed by its writer, since it last changed."""
    writing: bool = False
    """Seen being written, and not closed since."""
    due: float = 0.0


class Inbox:
    """Find whole files and claim them. Used by one thread, but for :meth:`told` and the counts.

    Parameters
    ----------
    folder : Path
    settings : WatchSection
    limits : InputSection
        On bytes and pixels.
    before_claim : callable
        Called with the arrival before it is renamed (removes old results); the claim happens
        inside the context manager that it returns.
    on_sight : callable
        With one fixed name: called as soon as a new image shows itself, whole or not.
    spared : tuple of Path
        Folders in the inbox that are not arrivals.
    """

    def __init__(
        self,
        folder: Path,
        settings: WatchSection,
        limits: InputSection,
        before_claim: Callable[[Arrival], AbstractContextManager[None]],
        on_sight: Callable[[], None] = lambda: None,
        spared: tuple[Path, ...] = (),
    ) -> None:
        self.folder = folder
        self.claims = folder / OWN_FOLDER / "claimed"
        self._settings = settings
        self._limits = limits
        self._before_claim = before_claim
        self._on_sight = on_sight
        self._spared = {path.absolute() for path in spared}
        self._candidates: dict[Path, Candidate] = {}
        self._due: list[tuple[float, int, Path]] = []
        self._turn = 0
        self._news: list[tuple[Path | None, bool]] = []
        self._bell = threading.Condition()
        self._fixed = settings.image if settings.handoff == "legacy" else None

    @property
    def waiting(self) -> int:
        """How many candidates wait unclaimed."""
        return len(self._candidates)

    def told(self, path: Path | None, whole: bool) -> None:
        """An event: see :data:`goodpart.runtime.events.Told`. From any thread."""
        with self._bell:
            self._news.append((path, whole))
            self._bell.notify()

    def wait(self, longest: float) -> bool:
        """Wait for events or the next candidate's time; returns whether a rescan is asked for.

        Raises
        ------
        OSError
            An old result cannot be removed.
        """
        with self._bell:
            if not self._news:
                until = longest
                if self._due:
                    until = min(longest, max(0.0, self._due[0][0] - time.monotonic()))
                self._bell.wait(until)
            news, self._news = self._news, []
        rescan = False
        for path, whole in news:
            if path is None:
                rescan = True
            else:
                self._note(path, whole)
        return rescan

    def folders(self) -> Iterator[Path]:
        """The inbox and, with lots, its subfolders.

        Raises
        ------
        OSError
            The inbox cannot be read.
        """
        yield self.folder
        if self._settings.lots and self._fixed is None:
            for entry in sorted(os.scandir(self.folder), key=lambda e: e.name):
                if entry.is_dir(follow_symlinks=False) and self._counts(Path(entry.path)):
                    yield from self._below(Path(entry.path))

    def _below(self, folder: Path) -> Iterator[Path]:
        yield folder
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and self._counts(Path(entry.path)):
                yield from self._below(Path(entry.path))

    def scan(self) -> None:
        """Look at everything in the inbox.

        Raises
        ------
        OSError
            The inbox cannot be read.
        """
        if self._fixed is not None:
            os.stat(self.folder)
            self._note(self.folder / self._fixed, False)
            return
        found: list[tuple[int, str, Path, os.stat_result]] = []
        for folder in self.folders():
            try:
                entries = list(os.scandir(folder))
            except FileNotFoundError:
                if folder == self.folder:
                    raise
                continue
            for entry in entries:
                path = folder / entry.name
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if self._counts(path) and not (
                    self._settings.lots and stat.S_ISDIR(status.st_mode)
                ):
                    found.append((status.st_mtime_ns, entry.name, path, status))
        found.sort(key=lambda item: item[:2])
        for _, _, path, status in found:
            self._update(path, status, False)
        there = {path for _, _, path, _ in found}
        for path in [path for path in self._candidates if path not in there]:
            del self._candidates[path]

    def claim_ready(self, room: int) -> Iterator[Arrival]:
        """Claim what is whole (or given up), oldest first; each is yielded once it is claimed.

        Parameters
        ----------
        room : int
            Claim no more than this many.

        Raises
        ------
        OSError
            The inbox, the claims or the old results cannot be changed; nothing is lost.
        """
        while self._due and room > 0 and self._due[0][0] <= time.monotonic():
            due, _, path = heapq.heappop(self._due)
            candidate = self._candidates.get(path)
            if candidate is None or candidate.due != due:
                continue
            try:
                arrival = self._decide(candidate)
            except FileNotFoundError:
                self._candidates.pop(path, None)
                os.stat(self.folder)  # raises where it is the inbox that has gone
                continue
            except OSError as error:
                self._schedule(candidate, time.monotonic() + self._settings.settle)
                if getattr(error, "winerror", None) != WINDOWS_IN_USE:
                    raise
                continue
            if arrival is not None:
                room -= 1
                yield arrival

    def left_over(self) -> list[Arrival]:
        """Claims of an earlier run, oldest first."""
        found = []
        for folder, _, names in os.walk(self.claims):
            relative = Path(folder).relative_to(self.claims).as_posix()
            for name in [*names, *self._claimed_folders(Path(folder))]:
                parsed = parse_claim(name)
                if parsed is not None:
                    lot = None if relative == "." else relative
                    found.append(Arrival(parsed[0], parsed[1], lot, Path(folder) / name))
        return sorted(found, key=lambda arrival: arrival.id)

    @staticmethod
    def _claimed_folders(folder: Path) -> list[str]:
        return [e.name for e in os.scandir(folder) if e.is_dir(follow_symlinks=False)]

    def _counts(self, path: Path) -> bool:
        name = path.name
        if name.startswith(".") or path.absolute() in self._spared:
            return False
        return not any(fnmatch.fnmatch(name.lower(), pattern) for pattern in PASSED_OVER)

    def _note(self, path: Path, closed: bool) -> None:
        if self._fixed is not None and path != self.folder / self._fixed:
            return
        if not self._counts(path) and self._fixed is None:
            return
        try:
            status = os.lstat(path)
        except OSError:
            self._candidates.pop(path, None)
            return
        if self._settings.lots and self._fixed is None and stat.S_ISDIR(status.st_mode):
            return
        self._update(path, status, closed, event=True)

    def _update(
        self, path: Path, status: os.stat_result, closed: bool, event: bool = False
    ) -> None:
        now = time.monotonic()
        fingerprint = _fingerprint(status)
        candidate = self._candidates.get(path)
        if candidate is None:
            parent = path.parent
            lot = None if parent == self.folder else parent.relative_to(self.folder).as_posix()
            candidate = Candidate(path, lot, fingerprint, now)
            self._candidates[path] = candidate
        elif candidate.fingerprint != fingerprint:
            same_file = candidate.fingerprint[:2] == fingerprint[:2]
            candidate.writing = event and same_file
            candidate.fingerprint, candidate.changed = fingerprint, now
            candidate.closed = False
        elif not closed:
            return
        if closed:
            candidate.closed, candidate.writing = True, False
        still = STALLED if candidate.writing else 1
        self._schedule(candidate, now if closed else now + still * self._settings.settle)
        # After that: where the old result cannot be removed now, the image has its turn all the
        # same, and its claim removes it.
        if self._fixed is not None:
            self._on_sight()

    def _schedule(self, candidate: Candidate, due: float) -> None:
        candidate.due = due
        self._turn += 1
        heapq.heappush(self._due, (due, self._turn, candidate.path))

    def _decide(self, candidate: Candidate) -> Arrival | None:
        now = time.monotonic()
        status = os.lstat(candidate.path)
        if _fingerprint(status) != candidate.fingerprint:
            self._update(candidate.path, status, False)
            return None
        regular = stat.S_ISREG(status.st_mode)
        try:
            state = look(candidate.path, status, self._limits)
        except PermissionError:
            state = State.PARTIAL
        given_up = now >= candidate.changed + self._settings.broken_after
        if state is State.PARTIAL and not given_up:
            self._schedule(candidate, candidate.changed + self._settings.broken_after)
            return None
        still = now >= candidate.changed + self._settings.settle
        if state is State.FOREIGN and not still:
            self._schedule(candidate, candidate.changed + self._settings.settle)
            return None
        if not regular and stat.S_ISDIR(status.st_mode) and not given_up:
            self._schedule(candidate, candidate.changed + self._settings.broken_after)
            return None
        return self._claim(candidate, now, settled=state is not State.WHOLE or given_up)

    def _claim(self, candidate: Candidate, now: float, settled: bool) -> Arrival:
        path = candidate.path
        arrival_id = new_id()
        file_name = claim_name(arrival_id, path.name)
        folder = self.claims if candidate.lot is None else self.claims / candidate.lot
        parsed = parse_claim(file_name)
        name = parsed[1] if parsed else path.name
        arrival = Arrival(arrival_id, name, candidate.lot, folder / file_name, now, settled)
        if candidate.lot is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with self._before_claim(arrival):
            os.rename(path, arrival.path)
        self._candidates.pop(path, None)
        return arrival


def is_foreign(arrival: Arrival, status: os.stat_result) -> str | None:
    """Why an arrival is not an image file under a usable name; ``None`` where it is."""
    if stat.S_ISLNK(status.st_mode):
        return "is a link, not a file"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder, not a file"
    if not stat.S_ISREG(status.st_mode):
        return "is a device or pipe, not a file"
    if is_strange(arrival.name) or (arrival.lot is not None and is_strange(arrival.lot)):
        return "has a name with control characters or bytes that are not UTF-8"
    return None


def _fingerprint(status: os.stat_result) -> Fingerprint:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
