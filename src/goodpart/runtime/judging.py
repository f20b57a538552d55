"""From a claimed file to its inspections: whatever is wrong with it is NOT_JUDGED with a reason."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from goodpart.decision import Inspection, Verdict
from goodpart.runtime.inbox import is_foreign
from goodpart.runtime.inspector import Inspector
from goodpart.runtime.names import Arrival
from goodpart.runtime.whole import open_regular

_NOT_TO_ITS_END = ("truncated", "unreadable", "empty file")


class Judge:
    """Read and inspect claimed files.

    Parameters
    ----------
    inspector : Inspector
    settle, broken_after : float
        Seconds; a file that does not decode is looked at again while it still changes.
    """

    def __init__(self, inspector: Inspector, *, settle: float, broken_after: float) -> None:
        self._inspector = inspector
        self._settle = settle
        self._broken_after = broken_after

    def judge(self, arrival: Arrival, stopping: Callable[[], bool]) -> list[Inspection]:
        """Inspect an arrival; never none.

        Parameters
        ----------
        arrival : Arrival
        stopping : callable
            Asked while a file is waited for; then what there is decides.

        Raises
        ------
        OSError
            The claims folder itself cannot be read: the share has gone.
        """
        try:
            status = os.lstat(arrival.path)
            why = is_foreign(arrival, status)
            if why is not None:
                return [self.refuse(arrival, "foreign", why)]
            if status.st_size > self._inspector.model.recipe.input.max_bytes:
                most = self._inspector.model.recipe.input.max_bytes
                return [self.refuse(arrival, "too large", f"has more than {most} bytes")]
            return self._inspect(arrival, stopping)
        except OSError as error:
            os.listdir(arrival.path.parent)  # raises where it is the share that has gone
            why = f"cannot be read: {error.strerror or error}"
            return [self.refuse(arrival, "unreadable", why)]

    def refuse(self, arrival: Arrival, reason: str, why: str) -> Inspection:
        """NOT_JUDGED, without a look at the pixels."""
        return Inspection(
            Verdict.NOT_JUDGED,
            source=arrival.source,
            part=Path(arrival.source).stem,
            reason=reason,
            message=f"{arrival.source}: {why}",
            limits=self._inspector.model.limits,
            model_id=self._inspector.model.id,
        )

    def _inspect(self, arrival: Arrival, stopping: Callable[[], bool]) -> list[Inspection]:
        data = _read(arrival.path)
        found = self._inspector.inspect_all(data, name=arrival.source)
        give_up = time.monotonic() + self._broken_after
        while (
            not arrival.settled
            and found[0].reason in _NOT_TO_ITS_END
            and time.monotonic() < give_up
            and not stopping()
        ):
            # The writer may still hold the file open; a claim does not take it out of its hands.
            time.sleep(self._settle)
            again = _read(arrival.path)
            if again == data:
                break
            data = again
            found = self._inspector.inspect_all(data, name=arrival.source)
            give_up = time.monotonic() + self._broken_after
        if any(inspection.sha256 is None for inspection in found):
            digest = hashlib.sha256(data).hexdigest()
            found = [replace(inspection, sha256=digest) for inspection in found]
        return found


def _read(path: Path) -> bytes:
    """All bytes of a file that does not change while it is read."""
    while True:
        with open_regular(path) as file:
            before = os.fstat(file.fileno())
            data = file.read()
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return data
        time.sleep(0.01)
