"""Deliver messages from the spool, at least once, without anyone waiting for it.

The spool is a table of the database, filled in the same transaction as the record, so a message
exists exactly when its record does. Each output has its own thread: a slow or dead receiver
delays neither inspections nor the other outputs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from goodpart.errors import GoodpartError
from goodpart.outputs.settings import RetrySection

log = logging.getLogger("goodpart.outputs")

MOST_REFUSALS = 20
"""A message that its receiver refuses so many times is given up, and kept as failed."""

BATCH = 50


class DeliveryError(GoodpartError):
    """A message was not delivered.

    Parameters
    ----------
    message : str
    refused : bool
        The receiver is well and does not want this message: the next one may go through.
    """

    def __init__(self, message: str, *, refused: bool = False) -> None:
        super().__init__(message)
        self.refused = refused


class Output(Protocol):
    """A receiver of verdicts."""

    name: str
    retry: RetrySection

    def send(self, key: str, payload: Mapping[str, Any]) -> None:
        """Deliver one message.

        Parameters
        ----------
        key : str
            The inspection's id: the receiver may drop a second message with it.
        payload : mapping
            :meth:`goodpart.Inspection.to_dict`, with the lot and the station.

        Raises
        ------
        DeliveryError
        """

    def announce(self, state: str) -> None:
        """Tell the line's state (``running``, ``blocked``, ``stopped``), where that is possible."""

    def close(self) -> None:
        """Let go of connections."""


class Pending(Protocol):
    """A message in the spool."""

    @property
    def id(self) -> int:
        """Its number in the spool."""

    @property
    def key(self) -> str:
        """The inspection's id."""

    @property
    def payload(self) -> Mapping[str, Any]:
        """What to send."""

    @property
    def attempts(self) -> int:
        """How often it was tried."""


class Spool(Protocol):
    """What a dispatcher needs of the records."""

    def pending_outputs(self, *, limit: int, output: str | None) -> Sequence[Pending]:
        """Messages that are due, oldest first."""

    def mark_sent(self, ids: Sequence[int]) -> None:
        """They were delivered."""

    def mark_failed(self, message: int, error: str, *, retry_in: float) -> None:
        """Try again after so many seconds."""

    def give_up(self, message: int, error: str) -> None:
        """Never try again; the message stays, as failed."""

    def outputs_waiting(self) -> Mapping[str, int]:
        """How many messages wait, by output."""


class Dispatcher:
    """Sends what the spool holds for one output, in a thread of its own.

    Parameters
    ----------
    output : Output
    spool : Spool

    Attributes
    ----------
    error : str or None
        Why the receiver is not reached now.
    waiting : int
        Messages in the spool, a second ago.
    """

    def __init__(self, output: Output, spool: Spool) -> None:
        self.output = output
        self.error: str | None = None
        self.waiting = 0
        self._spool = spool
        self._stop = threading.Event()
        self._bell = threading.Event()
        self._failures = 0
        self._next_count = 0.0
        self._thread = threading.Thread(
            target=self._run, name=f"goodpart-{output.name}", daemon=True
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the spool."""
        self._bell.set()

    def stop(self, longest: float = 10.0) -> None:
        """Finish the message at hand; what is left waits in the spool for the next start."""
        self._stop.set()
        self._bell.set()
        self._thread.join(longest)
        self.output.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._bell.clear()
            try:
                pause = self._deliver()
                self._count()
            except GoodpartError as error:
                # The database is away: the watcher itself reports that.
                log.debug("%s: %s", self.output.name, error)
                pause = 1.0
            if pause is None:
                self._bell.wait(1.0)
            elif pause > 0:
                self._stop.wait(pause)

    def _count(self) -> None:
        if time.monotonic() >= self._next_count:
            self.waiting = self._spool.outputs_waiting().get(self.output.name, 0)
            self._next_count = time.monotonic() + 1.0

    def _deliver(self) -> float | None:
        """Send what is due; returns the seconds to pause, ``None`` where nothing was due."""
        due = self._spool.pending_outputs(limit=BATCH, output=self.output.name)
        sent: list[int] = []
        try:
            for message in due:
                if self._stop.is_set():
                    return 0.0
                try:
                    self.output.send(message.key, message.payload)
                except DeliveryError as error:
                    return self._failed(message, error)
                sent.append(message.id)
                if self.error is not None:
                    log.warning("%s: delivering again", self.output.name)
                self.error, self._failures = None, 0
        finally:
            # Together, as each mark is a transaction; after a crash in between some go out twice.
            if sent:
                self._spool.mark_sent(sent)
        return 0.0 if due else None

    def _failed(self, message: Pending, error: DeliveryError) -> float:
        retry = self.output.retry
        if error.refused:
            log.warning("%s: %s", self.output.name, error)
            if message.attempts + 1 >= MOST_REFUSALS:
                self._spool.give_up(message.id, str(error))
            else:
                wait = min(retry.longest, retry.first * 2.0 ** min(message.attempts, 30))
                self._spool.mark_failed(message.id, str(error), retry_in=wait)
            return 0.0
        wait = min(retry.longest, retry.first * 2.0 ** min(self._failures, 30))
        if self.error is None:
            log.warning("%s: %s; trying again until it succeeds", self.output.name, error)
        self._failures += 1
        self.error = str(error)
        # No other message is tried meanwhile: the receiver gets them in their order.
        self._spool.mark_failed(message.id, str(error), retry_in=wait)
        return wait
