"""The thread of the inbox: events, rescans, claims."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from goodpart.runtime.events import Events, is_network_share, system_events
from goodpart.runtime.inbox import Inbox
from goodpart.runtime.linefile import WatchSection
from goodpart.runtime.queue import ClaimQueue
from goodpart.runtime.steps import Steps, one_line

log = logging.getLogger("goodpart.watch")

STEP = "the inbox"


class Intake:
    """Claims what arrives and hands it to the queue.

    Parameters
    ----------
    inbox : Inbox
    queue : ClaimQueue
    settings : WatchSection
    steps : Steps
    """

    def __init__(
        self, inbox: Inbox, queue: ClaimQueue, settings: WatchSection, steps: Steps
    ) -> None:
        self._inbox = inbox
        self._queue = queue
        self._settings = settings
        self._steps = steps
        self._watched: dict[Path, tuple[int, int]] = {}

    def run(self) -> None:
        """Until the watcher stops."""
        events = self._events()
        next_scan, asked = 0.0, False
        while not self._steps.stop.is_set():
            every = self._settings.rescan if events is not None else self._settings.poll
            try:
                if asked or time.monotonic() >= next_scan:
                    if events is not None and not self._keep_watched(events):
                        events.close()
                        events = None
                    self._inbox.scan()
                    next_scan = time.monotonic() + every
                self._claim()
                self._steps.health.free(STEP)
                asked = self._inbox.wait(max(0.0, next_scan - time.monotonic()))
            except OSError as error:
                self._steps.trouble(STEP, f"{self._inbox.folder}: {one_line(error)}")
        if events is not None:
            events.close()

    def _claim(self) -> None:
        # With one fixed name the next image would overwrite one that is left lying.
        fixed = self._settings.handoff == "legacy"
        room = self._queue.wait_for_room(1_000_000 if fixed else self._settings.queue, 0.1)
        for arrival in self._inbox.claim_ready(room):
            self._queue.put(arrival)

    def _events(self) -> Events | None:
        if self._settings.events == "polling" or is_network_share(self._inbox.folder):
            log.info("looking at the inbox every %g s", self._settings.poll)
            return None
        try:
            return system_events(self._inbox.told)
        except OSError as error:
            self._no_events(error)
            return None

    def _keep_watched(self, events: Events) -> bool:
        """Watch every folder that is not watched yet; False where the system refuses."""
        for folder in self._inbox.folders():
            try:
                status = os.stat(folder)
                identity = (status.st_dev, status.st_ino)
                if self._watched.get(folder) != identity:
                    events.watch(folder)
                    self._watched[folder] = identity
            except FileNotFoundError:
                if folder == self._inbox.folder:
                    raise
            except OSError as error:
                self._no_events(error)
                return False
        return True

    def _no_events(self, error: OSError) -> None:
        every = self._settings.poll
        log.warning("no events from the system (%s): looking every %g s", one_line(error), every)
