"""What is done for one arrival, in an order that a crash may interrupt anywhere.

1. judged, and its result files staged (:mod:`.handoff`);
2. records and messages committed in one transaction: from here on the verdict stands;
3. the result files renamed into place, ``result.txt`` last;
4. the part image kept in the image store, the input put on its shelf (:mod:`.shelves`).

A claim of an earlier run is judged again only where step 2 was not reached.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from goodpart.decision import Inspection
from goodpart.outputs.delivery import Dispatcher
from goodpart.records import Message, Record, Records
from goodpart.records.images import Encoded
from goodpart.runtime.handoff import Handoff
from goodpart.runtime.inspector import Inspector
from goodpart.runtime.judging import Judge
from goodpart.runtime.linefile import LineFile
from goodpart.runtime.names import Arrival
from goodpart.runtime.shelves import Shelves
from goodpart.runtime.steps import Steps, Stopped, one_line

log = logging.getLogger("goodpart.watch")


class Work:
    """Takes arrivals from claim to shelf; safe to use from several threads.

    Parameters
    ----------
    line : LineFile
    inspector : Inspector
    handoff : Handoff
    shelves : Shelves
    records : Records
    dispatchers : sequence of Dispatcher
        One for each output that gets messages.
    steps : Steps
    """

    def __init__(
        self,
        line: LineFile,
        inspector: Inspector,
        handoff: Handoff,
        shelves: Shelves,
        records: Records,
        dispatchers: Sequence[Dispatcher],
        steps: Steps,
    ) -> None:
        self._line = line
        self._inspector = inspector
        self._judge = Judge(
            inspector, settle=line.watch.settle, broken_after=line.watch.broken_after
        )
        self._handoff = handoff
        self._shelves = shelves
        self._records = records
        self._dispatchers = dispatchers
        self._steps = steps
        self._helpers = ThreadPoolExecutor(2 * line.watch.workers, "goodpart-helper")

    def close(self) -> None:
        """Let go of its threads."""
        self._helpers.shutdown()

    def process(self, arrival: Arrival) -> None:
        """Everything for one arrival.

        Raises
        ------
        Stopped
            It waits for the next start.
        """
        if arrival.whole_at == 0:
            known = self._steps.insist("the database", lambda: self._records.by_arrival(arrival.id))
            if known:
                self._finish(arrival, known, self._look_again(arrival, known))
                return
        else:
            waited = time.monotonic() - arrival.whole_at
            self._inspector.timings.add({"wait": waited * 1e3})
        inspections = self._judged(arrival)
        try:
            encoded = self._prepare(arrival, inspections)
        except Stopped:
            raise
        except Exception as error:
            # A picture that cannot be drawn must not stop the line at this image for ever.
            log.exception("%s: no results can be drawn", arrival.source)
            why = f"no results can be drawn: {type(error).__name__}: {one_line(error)}"
            inspections = [self._judge.refuse(arrival, "output error", why)]
            encoded = self._prepare(arrival, inspections)
        kept = {i.id: e.kept for i, e in zip(inspections, encoded, strict=True)}
        messages = self._messages(arrival, inspections)
        start = time.perf_counter()
        known = self._steps.insist(
            "the database",
            lambda: self._records.record(
                inspections,
                arrival=arrival.id,
                lot=arrival.lot,
                operator=self._line.operator,
                kept=kept,
                outputs=messages,
            ),
        )
        self._inspector.timings.add({"record": (time.perf_counter() - start) * 1e3})
        self._finish(arrival, known, encoded)

    def _judged(self, arrival: Arrival) -> list[Inspection]:
        stopping = self._steps.stop.is_set
        return self._steps.insist("the inbox", lambda: self._judge.judge(arrival, stopping))

    def _prepare(self, arrival: Arrival, inspections: Sequence[Inspection]) -> list[Encoded]:
        """Everything that a verdict shows and keeps, before it stands: both at the same time."""
        images = self._records.images
        encoded = self._helpers.submit(lambda: [images.encode(i) for i in inspections])
        self._steps.insist("the results", lambda: self._stage(arrival, inspections))
        return encoded.result()

    def _stage(self, arrival: Arrival, inspections: Sequence[Inspection]) -> None:
        start = time.perf_counter()
        self._handoff.discard(arrival)
        self._handoff.stage(arrival, inspections, self._helpers)
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
        images = self._records.images
        if all(record.image is None or images.read(record.image) for record in known):
            return []
        return [images.encode(inspection) for inspection in self._judged(arrival)]

    def _finish(
        self, arrival: Arrival, known: Sequence[Record], encoded: Sequence[Encoded]
    ) -> None:
        """The verdict is recorded; the rest follows, and may follow after a restart."""
        insist, health, images = self._steps.insist, self._steps.health, self._records.images
        if not insist("the results", lambda: self._handoff.publish(arrival)):
            health.withheld += 1
            log.warning("%s: a newer image has come, its result is not shown", arrival.source)
        seconds = time.monotonic() - arrival.whole_at if arrival.whole_at else None
        for dispatcher in self._dispatchers:
            dispatcher.wake()
        insist("the image store", lambda: [images.write(item) for item in encoded])
        verdicts = [record.inspection.verdict for record in known]
        insist("the inputs", lambda: self._shelves.put_away(arrival, verdicts))
        health.count(arrival.source, verdicts, seconds)
        for record in known:
            inspection = record.inspection
            detail = inspection.message or f"score {inspection.score:.4g}"
            log.info("%-10s %s  %s", inspection.verdict, inspection.part, detail)
