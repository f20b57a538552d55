"""The watch folder: every image that arrives is judged once, and every verdict is recorded.

The order of the steps is what makes it so; each can be repeated after a crash:

1. the old ``result.txt`` is removed, the file is claimed by a rename (:mod:`.inbox`);
2. it is judged, and its result files are staged (:mod:`.handoff`);
3. records and messages are committed in one transaction: from here on the verdict stands;
4. the result files are renamed into place, ``result.txt`` last;
5. the part image goes to the image store, the input to its shelf (:mod:`.shelves`).

A claim that is found at the start is judged again only where step 3 was not reached.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from goodpart.decision import Inspection
from goodpart.errors import GoodpartError
from goodpart.model import Model
from goodpart.outputs.delivery import Dispatcher, Output
from goodpart.records import Message, Record, Records, RecordsError, RecordsUnavailable
from goodpart.records.images import Encoded
from goodpart.runtime.events import Events, is_network_share, system_events
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.health import Health, HealthFile
from goodpart.runtime.inbox import OWN_FOLDER, Inbox
from goodpart.runtime.inspector import Inspector
from goodpart.runtime.judging import Judge
from goodpart.runtime.linefile import LineFile
from goodpart.runtime.lock import FolderLock
from goodpart.runtime.metrics import Metrics
from goodpart.runtime.names import Arrival, folder_name
from goodpart.runtime.queue import ClaimQueue
from goodpart.runtime.shelves import Shelves

log = logging.getLogger("goodpart.watch")

RETRY = 0.5
"""Seconds between tries while the line is blocked."""

T = TypeVar("T")


class _Stopped(Exception):
    """The watcher is asked to stop while a step waits to be tried again."""


class Watcher:
    """Judge what arrives in a folder until asked to stop.

    Parameters
    ----------
    model : Model
    line : LineFile
        With both folders given.

    Raises
    ------
    GoodpartError
        A folder is missing or cannot be used, or the settings do not fit together.
    """

    def __init__(self, model: Model, line: LineFile) -> None:
        self._line = line
        self._settings = line.watch
        self._inbox_folder, self._results = _folders(line)
        self._fixed = self._settings.handoff == "legacy"
        self._inspector = Inspector(model, batch=self._settings.batch)
        self._judge = Judge(
            self._inspector,
            settle=self._settings.settle,
            broken_after=self._settings.broken_after,
        )
        folders = line.folders
        self._shelves = Shelves(
            folders.done or self._results / "done",
            folders.ng or self._results / "ng",
            folders.quarantine or self._results / "quarantine",
            delete=self._settings.inputs == "delete",
        )
        self._handoff = Handoff(
            self._results,
            self._settings,
            line.outputs.files,
            model.heat_scale,
            claims=self._inbox_folder / OWN_FOLDER / "claimed",
            inbox=self._inbox_folder,
        )
        size = model.recipe.part.size
        self._handoff.warm_up((16, 16) if size == "auto" else size)
        self._inbox = Inbox(
            self._inbox_folder,
            self._settings,
            model.recipe.input,
            self._handoff.claiming,
            self._handoff.withdraw_fixed,
            spared=(self._shelves.done, self._shelves.ng, self._shelves.quarantine),
        )
        self._queue = ClaimQueue(self._name_of)
        self._encoders = ThreadPoolExecutor(self._settings.workers, "goodpart-encoder")
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
        self._records: Records | None = None
        self._dispatchers: list[Dispatcher] = []
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._told = ""

    def stop(self) -> None:
        """Finish the images at hand and return from :meth:`run`; may be called by a signal."""
        self._stop.set()

    def run(self) -> None:
        """Watch until :meth:`stop`.

        Raises
        ------
        GoodpartError
            Another process watches the folder, or the database is not one of goodpart's.
        """
        with _Locks(self._inbox_folder, self._results):
            for folder in (self._inbox.claims, self._handoff.staged):
                folder.mkdir(parents=True, exist_ok=True)
            self._health_file.start()
            outputs = _outputs(self._line)
            metrics = self._metrics()
            try:
                self._watch(outputs)
            finally:
                if metrics is not None:
                    metrics.close()
                self.health.phase("stopped")
                self._health_file.stop()
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
        threads = [threading.Thread(target=self._guard(self._take_in), name="goodpart-inbox")]
        threads[0].start()
        try:
            self._records = self._insist(
                "the database", self._open_records, (OSError, RecordsUnavailable)
            )
            self._dispatchers = [Dispatcher(output, self._records) for output in outputs]
            for dispatcher in self._dispatchers:
                dispatcher.start()
            workers = 1 if self._fixed else self._settings.workers
            for number in range(workers):
                worker = self._guard(self._work)
                threads.append(threading.Thread(target=worker, name=f"goodpart-worker-{number}"))
                threads[-1].start()
            self.health.phase("running")
            self._health_file.soon()
            while not self._stop.wait(0.5):
                self._announce(self.health.state)
        except _Stopped:
            pass
        finally:
            self._stop.set()
            self._queue.close()
            for thread in threads:
                thread.join()
            self._encoders.shutdown()
            for dispatcher in self._dispatchers:
                dispatcher.stop()
            if self._records is not None:
                self._records.close()

    def _guard(self, work: Callable[[], None]) -> Callable[[], None]:
        """A thread's work: what it did not expect ends the watcher, never the thread alone."""

        def guarded() -> None:
            try:
                work()
            except _Stopped:
                pass
            except BaseException as error:
                self._failure = self._failure or error
                self._stop.set()
                self._queue.close()

        return guarded

    def _insist(
        self,
        step: str,
        work: Callable[[], T],
        errors: tuple[type[Exception], ...] = (OSError, RecordsError, MemoryError),
    ) -> T:
        """Do a step of the line, again and again until it succeeds: nothing is given up."""
        trouble = False
        while True:
            try:
                with self.health.at_work(step):
                    done = work()
            except errors as error:
                if self._stop.is_set():
                    raise _Stopped from None
                trouble = True
                self.health.blocked(step, f"{step}: {_line(error)}")
                log.debug("%s", traceback.format_exc())
                self._health_file.soon()
                if self._stop.wait(RETRY):
                    raise _Stopped from None
            else:
                if trouble:
                    self.health.free(step)
                    self._health_file.soon()
                return done

    def _open_records(self) -> Records:
        records = Records.open(
            _database_url(self._line),
            station=self._line.station,
            images=self._line.database.images,
        )
        records.register(self._inspector.model)
        log.info("records: %s", records.url)
        return records

    # The thread of the inbox.

    def _take_in(self) -> None:
        events, seen = self._events(), dict[Path, tuple[int, int]]()
        next_scan, asked = 0.0, False
        while not self._stop.is_set():
            every = self._settings.rescan if events is not None else self._settings.poll
            try:
                if asked or time.monotonic() >= next_scan:
                    if events is not None and not self._keep_watched(events, seen):
                        events.close()
                        events = None
                    self._inbox.scan()
                    next_scan = time.monotonic() + every
                self._claim()
                self.health.free("the inbox")
                asked = self._inbox.wait(max(0.0, next_scan - time.monotonic()))
            except OSError as error:
                self.health.blocked("the inbox", f"{self._inbox_folder}: {_line(error)}")
                self._health_file.soon()
                self._stop.wait(RETRY)
        if events is not None:
            events.close()

    def _claim(self) -> None:
        # With one fixed name the next image would overwrite one that is left lying.
        most = 1_000_000 if self._fixed else self._settings.queue
        room = self._queue.wait_for_room(most, 0.1)
        for arrival in self._inbox.claim_ready(room):
            self._queue.put(arrival)

    def _events(self) -> Events | None:
        if self._settings.events == "polling" or is_network_share(self._inbox_folder):
            log.info("looking at the inbox every %g s", self._settings.poll)
            return None
        try:
            return system_events(self._inbox.told)
        except OSError as error:
            self._no_events(error)
            return None

    def _keep_watched(self, events: Events, seen: dict[Path, tuple[int, int]]) -> bool:
        """Watch every folder that is not watched yet; False where the system refuses."""
        for folder in self._inbox.folders():
            try:
                status = os.stat(folder)
                identity = (status.st_dev, status.st_ino)
                if seen.get(folder) != identity:
                    events.watch(folder)
                    seen[folder] = identity
            except FileNotFoundError:
                if folder == self._inbox_folder:
                    raise
            except OSError as error:
                self._no_events(error)
                return False
        return True

    def _no_events(self, error: OSError) -> None:
        every = self._settings.poll
        log.warning("no events from the system (%s): looking every %g s", _line(error), every)

    # The workers.

    def _work(self) -> None:
        while (arrival := self._queue.take()) is not None:
            try:
                self._process(arrival)
            finally:
                self._queue.done(arrival)

    def _process(self, arrival: Arrival) -> None:
        records = self._records
        assert records is not None
        took_over = arrival.whole_at == 0
        if took_over:
            known = self._insist("the database", lambda: records.by_arrival(arrival.id))
            if known:
                self._finish(arrival, known, self._look_again(arrival, known))
                return
            self._insist("the results", lambda: self._handoff.discard(arrival))
        inspections = self._insist(
            "the inbox", lambda: self._judge.judge(arrival, self._stop.is_set)
        )
        try:
            encoded = self._prepare(arrival, inspections)
        except _Stopped:
            raise
        except Exception as error:
            # A picture that cannot be drawn must not stop the line at this image for ever.
            log.exception("%s: no results can be drawn", arrival.source)
            why = f"no results can be drawn: {type(error).__name__}: {_line(error)}"
            inspections = [self._judge.refuse(arrival, "output error", why)]
            encoded = self._prepare(arrival, inspections)
        kept = {i.id: e.kept for i, e in zip(inspections, encoded, strict=True)}
        messages = self._messages(arrival, inspections)
        known = self._insist(
            "the database",
            lambda: records.record(
                inspections,
                arrival=arrival.id,
                lot=arrival.lot,
                operator=self._line.operator,
                kept=kept,
                outputs=messages,
            ),
        )
        self._finish(arrival, known, encoded)

    def _prepare(self, arrival: Arrival, inspections: Sequence[Inspection]) -> list[Encoded]:
        """Everything that a verdict shows and keeps, before it stands: both at the same time."""
        records = self._records
        assert records is not None
        encoded = self._encoders.submit(lambda: [records.images.encode(i) for i in inspections])
        self._insist("the results", lambda: self._stage(arrival, inspections))
        return encoded.result()

    def _stage(self, arrival: Arrival, inspections: Sequence[Inspection]) -> None:
        self._handoff.discard(arrival)
        start = time.perf_counter()
        self._handoff.stage(arrival, inspections)
        spent = (time.perf_counter() - start) * 1e3
        self._inspector.timings.add({"write": spent})
        for inspection in inspections:
            inspection.timings["write"] = spent / len(inspections)

    def _messages(self, arrival: Arrival, inspections: Sequence[Inspection]) -> list[Message]:
        about = {
            "lot": arrival.lot,
            "station": self._line.station,
            "operator": self._line.operator,
            "arrival": arrival.id,
        }
        return [
            Message(output=dispatcher.output.name, key=i.id, payload={**i.to_dict(), **about})
            for dispatcher in self._dispatchers
            for i in inspections
        ]

    def _look_again(self, arrival: Arrival, known: Sequence[Record]) -> list[Encoded]:
        """The images of a recorded arrival for the store, where a crash kept them from it."""
        records = self._records
        assert records is not None
        if not any(r.image is not None and records.images.read(r.image) is None for r in known):
            return []
        inspections = self._judge.judge(arrival, self._stop.is_set)
        return [records.images.encode(inspection) for inspection in inspections]

    def _finish(
        self, arrival: Arrival, known: Sequence[Record], encoded: Sequence[Encoded]
    ) -> None:
        """The verdict is recorded; the rest follows, and may follow after a restart."""
        records = self._records
        assert records is not None
        if not self._insist("the results", lambda: self._handoff.publish(arrival)):
            self.health.withheld += 1
            log.warning("%s: a newer image has come, its result is not shown", arrival.source)
        seconds = time.monotonic() - arrival.whole_at if arrival.whole_at else None
        for dispatcher in self._dispatchers:
            dispatcher.wake()
        self._insist("the image store", lambda: [records.images.write(item) for item in encoded])
        verdicts = [record.inspection.verdict for record in known]
        self._insist("the inputs", lambda: self._shelves.put_away(arrival, verdicts))
        self.health.count(arrival.source, verdicts, seconds)
        for record in known:
            inspection = record.inspection
            detail = inspection.message or f"score {inspection.score:.4g}"
            log.info("%-10s %s  %s", inspection.verdict, inspection.part, detail)

    # Around it.

    def _name_of(self, arrival: Arrival) -> tuple[str | None, str]:
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


class _Locks:
    """Both folders, or the one that serves as both, held for one watcher."""

    def __init__(self, inbox: Path, results: Path) -> None:
        self._folders = {inbox.resolve(): "inbox", results.resolve(): "results"}
        if inbox.resolve() == results.resolve():
            self._folders = {inbox.resolve(): "inbox"}
        self._locks: list[FolderLock] = []

    def __enter__(self) -> None:
        try:
            for folder in self._folders:
                own = folder / OWN_FOLDER
                own.mkdir(parents=True, exist_ok=True)
                self._locks.append(FolderLock(own / "lock", str(folder)))
        except OSError as error:
            self.__exit__()
            raise GoodpartError(f"{error.filename}: {error.strerror or error}") from None
        except GoodpartError:
            self.__exit__()
            raise

    def __exit__(self, *error: object) -> None:
        for lock in self._locks:
            lock.release()


def _folders(line: LineFile) -> tuple[Path, Path]:
    inbox, results = line.folders.inbox, line.folders.results
    if inbox is None or results is None:
        raise GoodpartError(
            "the inbox and the results folder are needed: give --inbox and --results, or "
            "folders.inbox and folders.results in the line file"
        )
    inbox, results = inbox.absolute(), results.absolute()
    if not inbox.is_dir():
        raise GoodpartError(f"{inbox}: no such folder; create it, or give another --inbox")
    inside = results.resolve().is_relative_to(inbox.resolve())
    if inside and line.watch.handoff != "legacy":
        raise GoodpartError(
            f"{results}: the results lie in the inbox and would be judged in their turn; give "
            "another --results"
        )
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GoodpartError(f"{results}: cannot be created: {error.strerror or error}") from None
    return inbox, results


def _database_url(line: LineFile) -> str:
    if line.database.url_from is not None:
        return line.database.url_from.read("database.url_from")
    if line.database.url is not None:
        return line.database.url
    from goodpart.records import default_url

    return default_url()


def _outputs(line: LineFile) -> list[Output]:
    outputs: list[Output] = []
    if line.outputs.webhook is not None:
        from goodpart.outputs.webhook import Webhook

        outputs.append(Webhook(line.outputs.webhook))
    if line.outputs.mqtt is not None:
        from goodpart.outputs.mqtt import Mqtt

        outputs.append(Mqtt(line.outputs.mqtt, line.station))
    return outputs


def _line(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    name = getattr(error, "filename", None)
    return f"{name}: {reason}" if name else " ".join(str(reason).split())
