"""The watch folder: every image that arrives is judged once, and every verdict is recorded.

One thread looks at the inbox and claims (:mod:`.intake`), workers take claims from judgement to
shelf (:mod:`.work`), each output has a thread, and the health file one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from goodpart.model import Model
from goodpart.outputs.delivery import Dispatcher, Output
from goodpart.records import Records, RecordsUnavailable
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.health import Health, HealthFile
from goodpart.runtime.inbox import OWN_FOLDER, Inbox
from goodpart.runtime.inspector import Inspector
from goodpart.runtime.intake import Intake
from goodpart.runtime.linefile import LineFile
from goodpart.runtime.metrics import Metrics
from goodpart.runtime.names import Arrival, folder_name
from goodpart.runtime.queue import ClaimQueue
from goodpart.runtime.retention import Retention
from goodpart.runtime.setup import Locks, database_url, line_folders, line_outputs, make_folder
from goodpart.runtime.shelves import Shelves
from goodpart.runtime.steps import Steps, Stopped
from goodpart.runtime.work import Work

log = logging.getLogger("goodpart.watch")


class Watcher:
    """Judge what arrives in a folder until asked to stop.

    Parameters
    ----------
    model : Model
    line : LineFile
        With both folders given.

    Attributes
    ----------
    health : Health

    Raises
    ------
    GoodpartError
        A folder is missing or cannot be used, or the settings do not fit together.
    """

    def __init__(self, model: Model, line: LineFile) -> None:
        self._line = line
        self._inbox_folder, self._results = line_folders(line)
        self._fixed = line.watch.handoff == "legacy"
        self._inspector = Inspector(model, batch=line.watch.batch)
        self._shelves = Shelves(
            line.folders.done or self._results / "done",
            line.folders.ng or self._results / "ng",
            line.folders.quarantine or self._results / "quarantine",
            delete=line.watch.inputs == "delete",
        )
        self._handoff = Handoff(
            self._results,
            line.watch,
            line.outputs.files,
            model.heat_scale,
            claims=self._inbox_folder / OWN_FOLDER / "claimed",
            inbox=self._inbox_folder,
        )
        size = model.recipe.part.size
        self._handoff.warm_up((16, 16) if size == "auto" else size)
        self._inbox = Inbox(
            self._inbox_folder,
            line.watch,
            model.recipe.input,
            self._handoff.claiming,
            self._handoff.withdraw_fixed,
            spared=(self._shelves.done, self._shelves.ng, self._shelves.quarantine),
        )
        self._queue = ClaimQueue(self._name_of)
        self.health = Health(
            {
                "station": line.station,
                "model": {"id": model.id, "name": model.recipe.name},
                "inbox": str(self._inbox_folder),
                "results": str(self._results),
            }
        )
        file = line.health.file or self._results / "health.json"
        self._health_file = HealthFile(file, line.health.every, self.answer)
        self._stop = threading.Event()
        self._steps = Steps(self.health, self._stop, self._health_file.soon)
        self._dispatchers: list[Dispatcher] = []
        self._failure: BaseException | None = None
        self._told = ""

    def stop(self) -> None:
        """Finish the images at hand and return from :meth:`run`."""
        self._stop.set()

    def run(self) -> None:
        """Watch until :meth:`stop`.

        Raises
        ------
        GoodpartError
            Another process watches the folder, the database is not one of goodpart's, an output
            cannot be set up.
        """
        with Locks(self._inbox_folder, self._results):
            for folder in (self._inbox.claims, self._handoff.staged):
                make_folder(folder)
            outputs = line_outputs(self._line)
            metrics = self._metrics()
            self._health_file.start()
            try:
                self._watch(outputs)
            finally:
                self.health.phase("stopped")
                self._health_file.stop()
                if metrics is not None:
                    metrics.close()
        if self._failure is not None:
            raise self._failure

    def answer(self) -> dict[str, Any]:
        """The health answer."""
        outputs = {
            d.output.name: {"waiting": d.waiting, "error": d.error} for d in self._dispatchers
        }
        return self.health.answer(
            {
                "queue": {"inbox": self._inbox.waiting, "claimed": len(self._queue)},
                "outputs": outputs,
                "latency_ms": {
                    **self.health.latency.percentiles(),
                    **self._inspector.timings.percentiles(),
                },
            }
        )

    def _watch(self, outputs: Sequence[Output]) -> None:
        left_over = self._inbox.left_over()
        self._handoff.discard_orphans({arrival.id for arrival in left_over})
        for arrival in left_over:
            self._queue.put(arrival)
        if left_over:
            log.warning("finishing %d images that an earlier run had claimed", len(left_over))
        intake = Intake(self._inbox, self._queue, self._line.watch, self._steps)
        threads = [threading.Thread(target=self._guard(intake.run), name="goodpart-inbox")]
        threads[0].start()
        records: Records | None = None
        work: Work | None = None
        retention: Retention | None = None
        try:
            # Images are claimed from the start, also where the database is away for now.
            records = self._steps.insist(
                "the database", self._open_records, (OSError, RecordsUnavailable)
            )
            self._dispatchers = [Dispatcher(output, records) for output in outputs]
            work = Work(
                self._line,
                self._inspector,
                self._handoff,
                self._shelves,
                records,
                self._dispatchers,
                self._steps,
            )
            threads += self._start(work)
            retention = Retention(records, self._line.retention)
            retention.start()
            self.health.phase("running")
            self._health_file.soon()
            while not self._stop.wait(0.5):
                self._announce(self.health.state)
        except Stopped:
            pass
        finally:
            self._stop.set()
            self._queue.close()
            for thread in threads:
                thread.join()
            if retention is not None:
                retention.stop()
            for dispatcher in self._dispatchers:
                dispatcher.stop()
            if work is not None:
                work.close()
            if records is not None:
                records.close()

    def _start(self, work: Work) -> list[threading.Thread]:
        for dispatcher in self._dispatchers:
            dispatcher.start()
        # With one fixed name results must come in the order of the images.
        count = 1 if self._fixed else self._line.watch.workers
        target = self._guard(lambda: self._take_from_queue(work))
        threads = [
            threading.Thread(target=target, name=f"goodpart-worker-{number}")
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _take_from_queue(self, work: Work) -> None:
        while (arrival := self._queue.take()) is not None:
            try:
                work.process(arrival)
            finally:
                self._queue.done(arrival)

    def _guard(self, work: Callable[[], None]) -> Callable[[], None]:
        """A thread's work: what it did not expect ends the watcher, never the thread alone."""

        def guarded() -> None:
            try:
                work()
            except Stopped:
                pass
            except BaseException as error:
                self._failure = self._failure or error
                self._stop.set()
                self._queue.close()

        return guarded

    def _open_records(self) -> Records:
        records = Records.open(
            database_url(self._line),
            station=self._line.station,
            images=self._line.database.images,
        )
        records.register(self._inspector.model)
        log.info("records: %s", records.url)
        return records

    def _name_of(self, arrival: Arrival) -> tuple[str | None, str]:
        """Arrivals of one name write the same result files."""
        if self._fixed:
            return None, ""
        return arrival.lot, folder_name(Path(arrival.source).stem, arrival.id).lower()

    def _announce(self, state: str) -> None:
        if state != self._told:
            self._told = state
            for dispatcher in self._dispatchers:
                dispatcher.output.announce(state)

    def _metrics(self) -> Metrics | None:
        settings = self._line.metrics
        if settings.port is None:
            return None
        metrics = Metrics(settings.host, settings.port, self.answer)
        log.info("metrics: http://%s:%d/metrics", settings.host, metrics.port)
        return metrics
