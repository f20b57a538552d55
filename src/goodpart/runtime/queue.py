"""Claimed arrivals on their way to the workers, in order; those of one name one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable

from goodpart.runtime.names import Arrival


class ClaimQueue:
    """Hand arrivals to workers.

    Parameters
    ----------
    key : callable
        Two arrivals with the same key write the same result files: the later one waits until the
        earlier one is done.
    """

    def __init__(self, key: Callable[[Arrival], Hashable]) -> None:
        self._key = key
        self._waiting: deque[Arrival] = deque()
        self._busy: set[Hashable] = set()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        """How many arrivals are claimed: those that wait and those at the workers."""
        return len(self._waiting) + len(self._busy)

    def put(self, arrival: Arrival) -> None:
        """Add an arrival at the end."""
        with self._changed:
            self._waiting.append(arrival)
            self._changed.notify_all()

    def take(self) -> Arrival | None:
        """The next arrival, waiting for one; ``None`` once the queue is closed."""
        with self._changed:
            while not self._closed:
                for place, arrival in enumerate(self._waiting):
                    key = self._key(arrival)
                    if key not in self._busy:
                        del self._waiting[place]
                        self._busy.add(key)
                        return arrival
                self._changed.wait()
        return None

    def done(self, arrival: Arrival) -> None:
        """A worker is through with an arrival."""
        with self._changed:
            self._busy.discard(self._key(arrival))
            self._changed.notify_all()

    def wait_for_room(self, most: int, longest: float) -> int:
        """How many more arrivals have room, waiting for some; 0 after ``longest`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self) < most, longest)
            return max(0, most - len(self))

    def close(self) -> None:
        """Hand out no more; what waits stays claimed for the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
