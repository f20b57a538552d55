"""One model, loaded once and warmed up, that many threads may ask at the same time.

Callers that arrive while the detector is busy are scored together in its next run (flat
combining: whoever gets the turn works for all who wait; Hendler et al., SPAA 2010), so that a
queue of images costs fewer runs and a single image never waits for company.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Inspection, Verdict
from goodpart.errors import DataError, GoodpartError
from goodpart.model import Model, Prepared, load
from goodpart.parts.read import Source

REMEMBERED = 1000
"""How many timings the percentiles are taken from."""


class _Ticket:
    """A part image on its way through the detector."""

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.done = False
        self.raw_map: NDArray[np.float32] | None = None
        self.error: Exception | None = None
        self.score_ms = 0.0


class Inspector:
    """Load a model once, inspect many; safe to call from several threads.

    Parameters
    ----------
    model : Model or path
    batch : int
        Most part images in one run of the detector.
    warm_up : bool
        Inspect a flat image once, so that the first part does not pay for lazy imports and
        allocations.

    Raises
    ------
    ModelError
        The model cannot be loaded.
    """

    def __init__(self, model: Model | str | Path, *, batch: int = 8, warm_up: bool = True) -> None:
        if batch < 1:
            raise GoodpartError(f"an inspector's batch must be at least 1, not {batch}")
        self.model = model if isinstance(model, Model) else load(model)
        self.batch = batch
        self.timings = Timings()
        self._waiting: deque[_Ticket] = deque()
        self._turn = threading.Lock()
        if warm_up:
            self._warm_up()

    def inspect(self, source: Source, *, name: str | None = None) -> Inspection:
        """Inspect an image that shows one part; see :meth:`goodpart.Model.inspect`.

        Raises
        ------
        DataError
            The image is a tray of several parts: use :meth:`inspect_all`.
        """
        found = self.inspect_all(source, name=name)
        if len(found) != 1:
            raise DataError(f"{found[0].source}: shows {len(found)} parts; use inspect_all")
        return found[0]

    def inspect_all(self, source: Source, *, name: str | None = None) -> list[Inspection]:
        """Inspect every part of an image, a tray's pockets in their order; never none.

        Whatever goes wrong with the image or the model becomes a NOT_JUDGED inspection.

        Parameters
        ----------
        source : path, bytes or ndarray
            See :func:`goodpart.parts.read.read_image`.
        name : str, optional
            What to call it.
        """
        return self.inspect_many([(source, name)])[0]

    def inspect_many(self, sources: Iterable[tuple[Source, str | None]]) -> list[list[Inspection]]:
        """Inspect several images in as few runs of the detector as the batch allows.

        Parameters
        ----------
        sources : iterable of (source, name)

        Returns
        -------
        list of list of Inspection
            For each source what :meth:`inspect_all` returns.
        """
        images = [self._prepare(source, name) for source, name in sources]
        tickets = [item for image in images for item in image if isinstance(item, _Ticket)]
        self._score(tickets)
        found = [
            [item if isinstance(item, Inspection) else self._conclude(item) for item in image]
            for image in images
        ]
        for image in found:
            for inspection in image:
                self.timings.add(inspection.timings)
        return found

    def _prepare(self, source: Source, name: str | None) -> list[Inspection | _Ticket]:
        try:
            prepared = self.model.prepare(source, name=name)
        except Exception as error:
            # Past the decoder everything is our own code or OpenCV on odd pixels (or no memory):
            # the part was not judged and says so, and the line goes on.
            return [_failed(self.model, source, name, error)]
        return [p if isinstance(p, Inspection) else _Ticket(p) for p in prepared]

    def _conclude(self, ticket: _Ticket) -> Inspection:
        error = ticket.error
        if error is None and ticket.raw_map is not None:
            try:
                return self.model.conclude(
                    ticket.prepared, ticket.raw_map, score_ms=ticket.score_ms
                )
            except Exception as raised:
                error = raised
        return ticket.prepared.failed(error or RuntimeError("no score map"))

    def _score(self, tickets: list[_Ticket]) -> None:
        self._waiting.extend(tickets)
        while not all(ticket.done for ticket in tickets):
            with self._turn:
                # Another caller may have scored these while this one waited for its turn.
                if self._waiting and not all(ticket.done for ticket in tickets):
                    self._run(self._take())

    def _take(self) -> list[_Ticket]:
        """The next batch: images of one size only, as a tray's pockets may differ."""
        batch = [self._waiting.popleft()]
        shape = batch[0].prepared.pixels.shape
        while (
            self._waiting
            and len(batch) < self.batch
            and self._waiting[0].prepared.pixels.shape == shape
        ):
            batch.append(self._waiting.popleft())
        return batch

    def _run(self, batch: list[_Ticket]) -> None:
        start = time.perf_counter()
        try:
            raw_maps = self.model.detector.raw_maps([t.prepared.pixels for t in batch])
            for ticket, raw_map in zip(batch, raw_maps, strict=True):
                ticket.raw_map = raw_map
        except Exception as error:
            if len(batch) > 1:
                # One image must not fail its neighbours.
                for ticket in batch:
                    self._run([ticket])
                return
            batch[0].error = error
        spent = (time.perf_counter() - start) * 1e3
        for ticket in batch:
            ticket.score_ms = spent / len(batch)
            ticket.done = True

    def _warm_up(self) -> None:
        import cv2

        size = self.model.recipe.part.size
        if size == "auto":
            raise DataError("the model's recipe does not say how large its part images are")
        grey = self.model.recipe.input.color == "grey"
        flat = np.full(size if grey else (*size, 3), 128, dtype=np.uint8)
        # The detector apart: on the road a flat image may be turned away before it.
        self.model.detector.raw_maps([flat])
        self.model.inspect_all(cv2.imencode(".png", flat)[1].tobytes())


class Timings:
    """The latest timings of each step, for percentiles; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: dict[str, deque[float]] = {}

    def add(self, timings: dict[str, float]) -> None:
        """Remember milliseconds by step."""
        with self._lock:
            for step, spent in timings.items():
                self._steps.setdefault(step, deque(maxlen=REMEMBERED)).append(spent)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """For each step ``{"p50": …, "p95": …, "p99": …}`` in milliseconds, rounded to 0.01."""
        with self._lock:
            steps = {step: np.array(values) for step, values in self._steps.items()}
        return {
            step: {
                f"p{q}": round(float(value), 2)
                for q, value in zip((50, 95, 99), np.percentile(v, (50, 95, 99)), strict=True)
            }
            for step, v in steps.items()
        }


def _failed(model: Model, source: Source, name: str | None, error: Exception) -> Inspection:
    label = name or (str(source) if isinstance(source, str | Path) else "image")
    return Inspection(
        Verdict.NOT_JUDGED,
        source=label,
        part=Path(label).stem,
        reason="model error",
        message=f"{label}: {type(error).__name__}: {error}".splitlines()[0],
        limits=model.limits,
        model_id=model.id,
    )
