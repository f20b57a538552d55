"""Remove old pictures while the line runs, where the line file says how many are kept."""

from __future__ import annotations

import logging
import threading
import time

from goodpart.errors import GoodpartError
from goodpart.records import Records
from goodpart.records.units import format_size, parse_age, parse_size
from goodpart.runtime.linefile import RetentionSection

log = logging.getLogger("goodpart.watch")

FIRST = 60.0
"""Seconds after the start: a line that is restarted every hour removes pictures too."""


class _Ended(Exception):
    """The watcher stops; what is left goes the next time."""


class Retention:
    """Prunes the image store every so often, in a thread of its own.

    Parameters
    ----------
    records : Records
    settings : RetentionSection
    """

    def __init__(self, records: Records, settings: RetentionSection) -> None:
        self._records = records
        self._every = settings.every
        self._older_than = None if settings.older_than is None else parse_age(settings.older_than)
        self._max_size = None if settings.max_size is None else parse_size(settings.max_size)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="goodpart-retention", daemon=True)

    def start(self) -> None:
        """Begin, where the settings ask for anything."""
        if self._older_than is not None or self._max_size is not None:
            self._thread.start()

    def stop(self) -> None:
        """End at once; a run that is cut short has removed no more than the audit trail says."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wait = min(FIRST, self._every)
        while not self._stop.wait(wait):
            try:
                self._prune()
            except _Ended:
                return
            except (GoodpartError, OSError) as error:
                # Pictures that stay a while longer are no reason to stop a line.
                log.warning("old pictures are not removed: %s", error)
            wait = self._every

    def _prune(self) -> None:
        start = time.monotonic()
        result = self._records.prune(
            older_than=self._older_than,
            max_size=self._max_size,
            actor="watch",
            progress=self._goes_on,
        )
        if result.files:
            freed, spent = format_size(result.bytes), time.monotonic() - start
            log.info("%d old pictures removed (%s) in %.1f s", result.files, freed, spent)

    def _goes_on(self, stage: str, done: int, total: int) -> None:
        if self._stop.is_set():
            raise _Ended
