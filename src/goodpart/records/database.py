"""The records of a line: one object, safe to use from several threads."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from goodpart.decision import Inspection, Verdict
from goodpart.progress import Progress
from goodpart.records import audit, content, migrate, outbox, queries, registry, retention
from goodpart.records.canonical import now, optional, storable
from goodpart.records.engine import make_engine, parse_url, public_url, translated
from goodpart.records.errors import RecordsError
from goodpart.records.images import ImageStore
from goodpart.records.record import Count, Filter, Kept, Message, Pending, Record, Review
from goodpart.records.schema import (
    InspectionRow,
    RegionRow,
    ReviewRow,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from goodpart.model import Model

ENVIRONMENT = "GOODPART_DATABASE"
DEFAULT = "sqlite:///goodpart.db"


def default_url() -> str:
    """The database's URL from the environment (``GOODPART_DATABASE``), or ``goodpart.db`` here."""
    return os.environ.get(ENVIRONMENT) or DEFAULT


class Records:
    """The records of one database, as one station writes them.

    Made by :meth:`open`; a context manager.

    Attributes
    ----------
    url : str
        For messages and logs: without password.
    station : str
    images : ImageStore
    """

    def __init__(self, url: URL, *, station: str, images: ImageStore) -> None:
        self.url = public_url(url)
        self.station = storable(station)
        self.images = images
        self._engine = make_engine(url)
        self._writer = self._engine.execution_options(write=True)
        # SQLite lets writers poll for their turn; threads of one process had better queue.
        self._turn = threading.Lock()
        self._queue = url.get_backend_name() == "sqlite"
        self._versions: dict[str, tuple[str, str]] = {}

    @classmethod
    def open(
        cls,
        url: str | None = None,
        *,
        station: str | None = None,
        images: str | Path | None = None,
        create: bool = True,
    ) -> Records:
        """Open a database; a new one is created, an older one brought up to date.

        Parameters
        ----------
        url : str, optional
            ``sqlite:///goodpart.db`` or ``postgresql+psycopg://user@host/database``; default:
            :func:`default_url`.
        station : str, optional
            Name of this station; default: the machine's name.
        images : path, optional
            Folder of the image store; default: beside a SQLite file, under its name with
            ``-images``, and ``goodpart-images`` in the working directory otherwise.
        create : bool
            Whether a database that is not there is made.

        Raises
        ------
        RecordsError
            Not a database of goodpart, written by a newer goodpart, or not there.
        RecordsUnavailable
            It cannot be reached now.
        """
        parsed = parse_url(default_url() if url is None else url)
        station = station or socket.gethostname()
        folder = Path("goodpart-images")
        if parsed.get_backend_name() == "sqlite":
            file = Path(str(parsed.database))
            folder = file.with_name(f"{file.stem}-images")
            if not file.parent.is_dir():
                raise RecordsError(f"{file}: the folder {file.parent} does not exist")
            if not create and not file.exists():
                raise RecordsError(f"{file}: no such database; name yours with --database")
        migrate.prepare(parsed, station=station, create=create)
        return cls(parsed, station=station, images=ImageStore(images or folder))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with translated(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self, *, chain: bool = True) -> Iterator[Connection]:
        """A transaction; the only one that may add to the audit trail, if it is to."""
        if self._queue:
            self._turn.acquire()
        try:
            with translated(self.url), self._writer.begin() as connection:
                if chain:
                    audit.lock(connection)
                yield connection
        finally:
            if self._queue:
                self._turn.release()

    def ping(self) -> None:
        """See whether the database answers.

        Raises
        ------
        RecordsUnavailable
        """
        with self._read() as connection:
            connection.execute(text("SELECT 1"))

    # -- inspections

    def register(self, model: Model) -> str:
        """Note a model and its limits, so that inspections point to what judged them.

        Hashes of the training images, where ``model.provenance["image_sha256"]`` lists them,
        are noted as well: retention spares those pictures.

        Returns
        -------
        str
            The version: the model's id and a fingerprint of its recipe and limits.
        """
        with self._write() as connection:
            version = registry.register(connection, model, station=self.station)
        self._versions[model.id] = (version, model.recipe.name)
        return version

    def record(
        self,
        inspections: Sequence[Inspection],
        *,
        arrival: str,
        lot: str | None = None,
        operator: str | None = None,
        kept: Mapping[str, Kept] | None = None,
        outputs: Sequence[Message] = (),
    ) -> list[Record]:
        """Record what was found on one arrival, in one transaction that lasts when it returns.

        Parameters
        ----------
        inspections : sequence of Inspection
            One, or one for each pocket of a tray.
        arrival : str
            Identity of the arrival, unique for ever.
        lot, operator : str, optional
        kept : mapping of str to Kept, optional
            What the image store holds, by the inspections' ids.
        outputs : sequence of Message
            Spooled in the same transaction.

        Returns
        -------
        list of Record
            Where the arrival was recorded before, nothing is written and the earlier records
            come back: their verdict is the verdict.

        Raises
        ------
        RecordsUnavailable
            Disk full, locked, connection lost. Nothing was recorded, or (where the connection
            broke while committing) all of it was; call again with the same arrival.
        RecordsError
            Two parts share a pocket, or an inspection was recorded under another arrival.
        """
        if not inspections:
            raise ValueError("an arrival has at least one inspection")
        at = now()
        rows = [
            content.inspection_values(
                inspection,
                arrival=arrival,
                place=place,
                kept=(kept or {}).get(inspection.id, Kept()),
                recorded_at=at,
                lot=lot,
                operator=operator,
                station=self.station,
                **self._judge(inspection.model_id),
            )
            for place, inspection in enumerate(inspections)
        ]
        regions = [content.region_values(inspection.regions) for inspection in inspections]
        messages = outbox.rows(outputs, station=self.station, at=at)
        said = {
            row["id"]: content.inspection_hash(row, own)
            for row, own in zip(rows, regions, strict=True)
        }
        with self._write() as connection, _no_clash(arrival):
            earlier = queries.by_arrival(connection, rows[0]["arrival"])
            if earlier:
                return earlier
            seq = audit.append(
                connection,
                "inspected",
                station=self.station,
                actor=operator,
                subject=arrival,
                data={"content": said},
            )
            for row, own in zip(rows, regions, strict=True):
                row["number"] = connection.execute(
                    insert(InspectionRow).returning(InspectionRow.number), {**row, "event": seq}
                ).scalar_one()
                if own:
                    new = [{**region, "inspection": row["number"]} for region in own]
                    connection.execute(insert(RegionRow), new)
            outbox.add(connection, messages)
        return [content.record_from(row, own) for row, own in zip(rows, regions, strict=True)]

    def _judge(self, model_id: str | None) -> dict[str, str | None]:
        version, recipe = self._versions.get(model_id or "", (None, None))
        return {"model_version": version, "recipe": recipe or None}

    def review(
        self,
        inspection_id: str,
        verdict: Verdict | str,
        *,
        reviewer: str,
        defect: str | None = None,
        note: str | None = None,
    ) -> Review:
        """Add a person's verdict; the inspection itself stays as it is.

        Parameters
        ----------
        inspection_id : str
        verdict : Verdict or str
            OK or NG.
        reviewer : str
        defect : str, optional
            Kind of defect.
        note : str, optional

        Raises
        ------
        RecordsError
            There is no such inspection, another verdict, or nobody's name.
        """
        verdict = str(verdict)
        if verdict not in ("OK", "NG"):
            raise RecordsError(f"a person's verdict is OK or NG, not {verdict!r}")
        if not reviewer.strip():
            raise RecordsError("a review needs the reviewer's name")
        review = Review(
            verdict,
            storable(reviewer.strip()),
            now(),
            defect=optional(defect),
            note=optional(note),
            station=self.station,
        )
        row = {name: getattr(review, name) for name in content.REVIEW_FIELDS}
        with self._write() as connection:
            query = select(InspectionRow.number).where(InspectionRow.id == inspection_id)
            number = connection.execute(query).scalar_one_or_none()
            if number is None:
                raise RecordsError(f"{inspection_id}: no inspection has this id")
            key = content.review_key(inspection_id, review.at)
            seq = audit.append(
                connection,
                "reviewed",
                station=self.station,
                actor=review.reviewer,
                subject=inspection_id,
                data={"content": {key: content.review_hash(row, inspection_id)}},
            )
            connection.execute(insert(ReviewRow), {**row, "inspection": number, "event": seq})
        return review

    def get(self, inspection_id: str) -> Record | None:
        """The record of an inspection, by its id."""
        query = select(InspectionRow.__table__).where(InspectionRow.id == inspection_id)
        with self._read() as connection:
            found = queries.load(connection, query)
        return found[0] if found else None

    def by_arrival(self, arrival: str) -> list[Record]:
        """What was recorded of an arrival, in the order of its parts; empty: nothing was."""
        with self._read() as connection:
            return queries.by_arrival(connection, storable(arrival))

    def find(
        self, wanted: Filter | None = None, *, limit: int = 50, before: int | None = None
    ) -> list[Record]:
        """Records, newest first.

        Parameters
        ----------
        wanted : Filter, optional
        limit : int
        before : int, optional
            The last record's number gives the next page.
        """
        with self._read() as connection:
            return queries.find(connection, wanted or Filter(), limit=limit, before=before)

    def stream(self, wanted: Filter | None = None) -> Iterator[list[Record]]:
        """Records in chunks, oldest first, in bounded memory."""
        with translated(self.url):
            yield from queries.stream(self._engine, wanted or Filter())

    def counts(self, wanted: Filter | None = None, *, by: str = "day") -> list[Count]:
        """Counts of verdicts for each ``day``, ``lot``, ``station``, ``model`` or ``recipe``."""
        with self._read() as connection:
            return queries.counts(connection, wanted or Filter(), by)

    # -- outputs

    def pending_outputs(
        self, *, limit: int = 100, output: str | None = None, at: datetime | None = None
    ) -> list[Pending]:
        """This station's messages that are due, oldest first."""
        with self._read() as connection:
            return outbox.due(connection, self.station, limit=limit, output=output, at=at or now())

    def mark_sent(self, ids: Sequence[int]) -> None:
        """Note that messages went out."""
        with self._write(chain=False) as connection:
            outbox.sent(connection, ids)

    def mark_failed(self, message: int, error: str, *, retry_in: float) -> None:
        """Note a vain attempt; the message is due again in ``retry_in`` seconds."""
        with self._write(chain=False) as connection:
            outbox.failed(connection, message, error, retry_in=retry_in)

    def give_up(self, message: int, error: str) -> None:
        """Stop trying; the message stays, and the audit trail says so."""
        with self._write() as connection:
            outbox.failed(connection, message, error, retry_in=None)
            audit.append(
                connection,
                "output given up",
                station=self.station,
                subject=str(message),
                data={"error": error},
            )

    def outputs_waiting(self) -> dict[str, int]:
        """How many of this station's messages wait, by output."""
        with self._read() as connection:
            return outbox.waiting(connection, self.station)

    def next_output_at(self, output: str | None = None) -> datetime | None:
        """When this station's next message is due; ``None``: none waits."""
        with self._read() as connection:
            return outbox.next_at(connection, self.station, output)

    # -- audit trail

    def add_event(
        self,
        kind: str,
        *,
        actor: str | None = None,
        subject: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> int:
        """Add an entry to the audit trail and give its number."""
        with self._write() as connection:
            return audit.append(
                connection, kind, station=self.station, actor=actor, subject=subject, data=data
            )

    def events(
        self, *, kind: str | None = None, limit: int = 50, before: int | None = None
    ) -> list[audit.Event]:
        """Entries of the audit trail, newest first."""
        with self._read() as connection:
            return audit.read_events(connection, kind=kind, limit=limit, before=before)

    def verify(
        self, *, expect: str | None = None, progress: Progress | None = None
    ) -> audit.Report:
        """Check the whole audit trail; see :func:`goodpart.records.audit.verify`."""
        with self._read() as connection:
            return audit.verify(connection, expect=expect, progress=progress)

    # -- retention

    def add_training_images(self, hashes: Sequence[str]) -> None:
        """Note SHA-256 of image files that a model learned from: retention spares them."""
        with self._write() as connection:
            registry.add_training(connection, hashes)

    def prune(
        self,
        *,
        older_than: timedelta | None = None,
        max_size: int | None = None,
        include_ng: bool = False,
        dry_run: bool = False,
        actor: str | None = None,
        progress: Progress | None = None,
    ) -> retention.Pruning:
        """Remove pictures, never records.

        Parameters
        ----------
        older_than : timedelta, optional
            Remove what was last taken before that.
        max_size : int, optional
            Then remove the oldest until the store has at most so many bytes.
        include_ng : bool
            Spare nothing: NG, CHECK and reviewed parts and training images go as well.
        dry_run : bool
            Only say what would go.
        actor : str, optional
            Who asked, for the audit trail.
        progress : callable, optional

        Raises
        ------
        RecordsError
            Neither an age nor a size is given, or a file cannot be removed.
        """
        if older_than is None and max_size is None:
            raise RecordsError("say what to remove: an age, a size or both")
        with self._read() as connection:
            result, chosen = retention.plan(
                connection,
                self.images,
                older_than=older_than,
                max_size=max_size,
                include_ng=include_ng,
                progress=progress,
            )
        result.dry_run = dry_run
        if dry_run:
            return result
        with self._write() as connection:
            retention.note(
                connection,
                result,
                older_than=older_than,
                max_size=max_size,
                include_ng=include_ng,
                station=self.station,
                actor=actor,
            )
        retention.remove(self.images, chosen, progress)
        return result


@contextmanager
def _no_clash(arrival: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise RecordsError(
            f"{arrival}: two of its parts share a pocket, or an inspection or a message of it "
            "was recorded before, under another arrival"
        ) from None
