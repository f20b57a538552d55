"""How the line is doing: counts, queue, latency, what is wrong; as a file that others read."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from goodpart.decision import Verdict
from goodpart.runtime.inspector import Timings

log = logging.getLogger("goodpart.watch")

STUCK = 10.0
"""Seconds after which a step that has not returned counts as blocked."""

ROOM = 8192
"""Bytes that the health file always takes: a full disk cannot keep an alarm out of it."""


class Health:
    """The state of the line; safe to use from several threads.

    Parameters
    ----------
    about : mapping
        What does not change: station, model, folders.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        self._about = dict(about)
        self._lock = threading.Lock()
        self._problems: dict[str, str] = {}
        self._at_work: dict[int, tuple[str, float]] = {}
        self._phase = "starting"
        self._since = _now()
        self._last: dict[str, Any] | None = None
        self.arrivals = 0
        self.withheld = 0
        self.verdicts = dict.fromkeys(Verdict, 0)
        self.latency = Timings()
        self._results = 0
        self._seconds = 0.0

    @property
    def state(self) -> str:
        """``starting``, ``running``, ``blocked`` or ``stopped``."""
        return "blocked" if self.reason and self._phase != "stopped" else self._phase

    @property
    def reason(self) -> str | None:
        """What blocks the line."""
        now = time.monotonic()
        with self._lock:
            reasons = list(self._problems.values())
            for step, since in self._at_work.values():
                if now - since > STUCK and step not in self._problems:
                    reasons.append(f"{step}: no answer for {now - since:.0f} s")
        return "; ".join(reasons) or None

    @contextmanager
    def at_work(self, step: str) -> Iterator[None]:
        """This thread is at a step: one that takes very long blocks the line too."""
        thread = threading.get_ident()
        with self._lock:
            self._at_work[thread] = (step, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                self._at_work.pop(thread, None)

    def phase(self, phase: str) -> None:
        """The watcher starts, runs or has stopped."""
        with self._lock:
            self._phase, self._since = phase, _now()

    def blocked(self, step: str, reason: str) -> None:
        """A step cannot go on; said on standard error once."""
        with self._lock:
            before = self._problems.get(step)
            if not self._problems:
                self._since = _now()
            self._problems[step] = reason
        if before != reason:
            log.error("BLOCKED, nothing is judged: %s", reason)

    def free(self, step: str) -> None:
        """A step goes on again."""
        with self._lock:
            was = self._problems.pop(step, None)
            if was is not None and not self._problems:
                self._since = _now()
        if was is not None:
            log.warning("going on: %s works again", step)

    def count(self, source: str, verdicts: list[Verdict], seconds: float | None) -> None:
        """An arrival is finished.

        Parameters
        ----------
        source : str
        verdicts : list of Verdict
            One for each part.
        seconds : float, optional
            From the file's completeness to ``result.txt``.
        """
        with self._lock:
            self.arrivals += 1
            for verdict in verdicts:
                self.verdicts[verdict] += 1
            said = sorted({str(verdict) for verdict in verdicts})
            self._last = {"source": source, "verdicts": said, "at": _now()}
            if seconds is not None:
                self._results += 1
                self._seconds += seconds
        if seconds is not None:
            self.latency.add({"file_to_result": seconds * 1e3})

    def answer(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Everything, for JSON.

        Parameters
        ----------
        more : mapping
            What others know: the queue, the outputs, the timings.
        """
        state = {"state": self.state, "reason": self.reason}
        with self._lock:
            answer = {
                "updated": _now(),
                "since": self._since,
                "pid": os.getpid(),
                **self._about,
                "arrivals": self.arrivals,
                "verdicts": {str(verdict): n for verdict, n in self.verdicts.items()},
                "withheld": self.withheld,
                "last": self._last,
                "file_to_result": {"count": self._results, "seconds": round(self._seconds, 6)},
            }
        return {**state, **answer, **more}


class HealthFile:
    """Writes the health answer every so often.

    The file is replaced as a whole. On a full disk it is written over in place instead: it has
    had its room since the start.

    Parameters
    ----------
    file : Path
    every : float
        Seconds.
    answer : callable
        Gives what to write.
    """

    def __init__(self, file: Path, every: float, answer: Callable[[], dict[str, Any]]) -> None:
        self._file = file
        self._every = every
        self._answer = answer
        self._stop = threading.Event()
        self._bell = threading.Event()
        self._lock = threading.Lock()
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="goodpart-health", daemon=True)

    def start(self) -> None:
        """Take the room and begin to write."""
        self.write()
        self._thread.start()

    def soon(self) -> None:
        """Write at once: something changed that matters."""
        self._bell.set()

    def stop(self) -> None:
        """Write for the last time."""
        self._stop.set()
        self._bell.set()
        self._thread.join()
        self.write()

    def write(self) -> None:
        """Write now; a disk that is full does not keep it from that."""
        text = json.dumps(self._answer(), indent=2, ensure_ascii=False)
        data = text.encode("utf-8").ljust(ROOM - 1) + b"\n"
        with self._lock:
            try:
                try:
                    self._replace(data)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    self._write_over(data)
            except OSError as error:
                reason = error.strerror or str(error)
                if reason != self._error:
                    log.error("%s: cannot be written: %s", self._file, reason)
                self._error = reason
            else:
                self._error = None

    def _replace(self, data: bytes) -> None:
        temporary = self._file.with_name(f".{self._file.name}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, self._file)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _write_over(self, data: bytes) -> None:
        with open(self._file, "r+b", buffering=0) as file:
            file.write(data)
            file.truncate()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._bell.wait(self._every)
            self._bell.clear()
            self.write()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
