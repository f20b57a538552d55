"""Steps of the line that are tried until they succeed: nothing is given up, and all see why."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import TypeVar

from goodpart.records import RecordsError
from goodpart.runtime.health import Health

log = logging.getLogger("goodpart.watch")

RETRY = 0.5
"""Seconds between tries."""

T = TypeVar("T")


class Stopped(Exception):
    """The watcher is asked to stop while a step waits to be tried again."""


class Steps:
    """What blocks the line, and when to stop.

    Parameters
    ----------
    health : Health
        Told of every step that fails or hangs.
    stop : threading.Event
    changed : callable
        Called when the line is blocked or free again.
    """

    def __init__(self, health: Health, stop: threading.Event, changed: Callable[[], None]) -> None:
        self.health = health
        self.stop = stop
        self._changed = changed

    def insist(
        self,
        step: str,
        work: Callable[[], T],
        errors: tuple[type[Exception], ...] = (OSError, RecordsError, MemoryError),
    ) -> T:
        """Do a step, again and again until it succeeds.

        Parameters
        ----------
        step : str
            What people know it by.
        work : callable
            May be called several times.
        errors : tuple of exception types
            After which it is tried again.

        Raises
        ------
        Stopped
        """
        trouble = False
        while True:
            try:
                with self.health.at_work(step):
                    done = work()
            except errors as error:
                trouble = True
                log.debug("%s", traceback.format_exc())
                self.trouble(step, f"{step}: {one_line(error)}")
                if self.stop.is_set():
                    raise Stopped from None
            else:
                if trouble:
                    self.health.free(step)
                    self._changed()
                return done

    def trouble(self, step: str, reason: str) -> None:
        """A step has failed: say so, and wait before the next try."""
        if not self.stop.is_set():
            self.health.blocked(step, reason)
            self._changed()
            self.stop.wait(RETRY)


def one_line(error: BaseException) -> str:
    """An error as one line, with the file that it speaks of."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    name = getattr(error, "filename", None)
    return f"{name}: {reason}" if name else " ".join(str(reason).split())
