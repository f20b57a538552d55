"""Retention: remove pictures by age and by the store's size; records stay.

Pictures of NG, CHECK and reviewed parts and of images that a model learned from are spared until
asked for. What the store holds but no record knows (another database's, say) is never touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, case, func, literal, select

from goodpart.progress import Progress
from goodpart.records import audit, outbox
from goodpart.records.canonical import now
from goodpart.records.errors import RecordsError
from goodpart.records.images import TEMPORARY, ImageStore
from goodpart.records.schema import InspectionRow, ReviewRow, TrainingImageRow

BATCH = 400
GRACE = 3600.0
"""Seconds for which a file just written or seen again is never removed."""

STALE = 86400.0
"""Seconds after which a half-written file is a dead writer's."""


@dataclass(frozen=True)
class Candidate:
    """A picture that may go.

    Parameters
    ----------
    taken_at : datetime
        Of the newest inspection that it belongs to.
    size : int
        Bytes.
    path : str
    """

    taken_at: datetime
    size: int
    path: str


@dataclass
class Pruning:
    """What is to go, or went.

    Parameters
    ----------
    files, bytes : int
        To remove.
    spared : int
        Pictures that would have gone, but are spared.
    kept_bytes : int
        Size of the store afterwards.
    unknown : int
        Files that no record knows.
    dry_run : bool
    """

    files: int = 0
    bytes: int = 0
    spared: int = 0
    kept_bytes: int = 0
    unknown: int = 0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.__dict__)


def plan(
    connection: Connection,
    store: ImageStore,
    *,
    older_than: timedelta | None,
    max_size: int | None,
    include_ng: bool,
    progress: Progress | None = None,
) -> tuple[Pruning, list[Candidate]]:
    """Choose the pictures to remove: all that are too old, then the oldest until the size fits."""
    oldest = None if older_than is None else now() - older_than
    result = Pruning()
    candidates: list[Candidate] = []
    total = seen = 0
    for batch in _batches(store.files()):
        sizes = {}
        for name, entry in batch:
            try:
                status = entry.stat()
            except FileNotFoundError:
                continue
            sizes[name] = (status.st_size, status.st_mtime, entry.path)
            total += status.st_size
        known = _known(connection, list(sizes), include_ng=include_ng)
        for name, (size, modified, path) in sizes.items():
            if name not in known:
                result.unknown += 1
                continue
            taken_at, spared = known[name]
            if spared:
                old = oldest is not None and taken_at < oldest
                result.spared += old
            elif modified < time.time() - GRACE:
                candidates.append(Candidate(taken_at, size, path))
        seen += len(batch)
        if progress is not None:
            progress("looking at images", seen, seen)
    candidates.sort(key=lambda each: each.taken_at)
    chosen = []
    for candidate in candidates:
        too_old = oldest is not None and candidate.taken_at < oldest
        too_much = max_size is not None and total > max_size
        if not (too_old or too_much):
            break
        total -= candidate.size
        chosen.append(candidate)
    result.files = len(chosen)
    result.bytes = sum(each.size for each in chosen)
    result.kept_bytes = total
    return result, chosen


def note(
    connection: Connection,
    result: Pruning,
    *,
    older_than: timedelta | None,
    max_size: int | None,
    include_ng: bool,
    station: str,
    actor: str | None,
) -> None:
    """Say in the audit trail what is about to go; messages sent before that age go with it.

    The entry comes before the removal: a run that is cut short has removed at most what it says.
    """
    if older_than is not None:
        outbox.forget_sent(connection, now() - older_than)
    if not result.files:
        return
    data = {
        "files": result.files,
        "bytes": result.bytes,
        "older_than_s": None if older_than is None else older_than.total_seconds(),
        "max_size": max_size,
        "include_ng": include_ng,
    }
    audit.append(connection, "pruned", station=station, actor=actor, data=data)


def remove(
    store: ImageStore, chosen: Sequence[Candidate], progress: Progress | None = None
) -> None:
    """Remove pictures, and what dead writers left; a file that is gone already is no error.

    Raises
    ------
    RecordsError
        A file cannot be removed.
    """
    try:
        for done, candidate in enumerate(chosen, start=1):
            Path(candidate.path).unlink(missing_ok=True)
            if progress is not None and (done % 100 == 0 or done == len(chosen)):
                progress("removing images", done, len(chosen))
        _remove_stale(store.folder / TEMPORARY)
    except OSError as error:
        reason = error.strerror or error
        raise RecordsError(f"{error.filename}: cannot be removed: {reason}") from None


def _remove_stale(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < time.time() - STALE:
                path.unlink()
        except FileNotFoundError:
            continue  # its writer finished


def _batches(
    files: Iterator[tuple[str, os.DirEntry[str]]],
) -> Iterator[list[tuple[str, os.DirEntry[str]]]]:
    while batch := list(islice(files, BATCH)):
        yield batch


def _known(
    connection: Connection, names: Sequence[str], *, include_ng: bool
) -> dict[str, tuple[datetime, bool]]:
    """Of each hash that records know: when it was last taken, and whether it is spared."""
    row = InspectionRow
    if include_ng:
        spared = literal(0)
    else:
        reviewed = select(ReviewRow.id).where(ReviewRow.inspection == row.number).exists()
        learned = (
            select(TrainingImageRow.sha256)
            .where((TrainingImageRow.sha256 == row.sha256) | (TrainingImageRow.sha256 == row.image))
            .exists()
        )
        kept = row.verdict.in_(("NG", "CHECK")) | reviewed | learned
        spared = func.max(case((kept, 1), else_=0))  # type: ignore[assignment]
    found: dict[str, tuple[datetime, bool]] = {}
    for column in (row.image, row.heatmap):
        query = (
            select(column, func.max(row.taken_at), spared).where(column.in_(names)).group_by(column)
        )
        for name, taken_at, flag in connection.execute(query):
            assert name is not None  # it is one of the names asked for
            earlier = found.get(name, (taken_at, False))
            found[name] = (max(earlier[0], taken_at), earlier[1] or bool(flag))
    return found
