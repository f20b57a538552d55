"""Export records to CSV and Parquet, chunk by chunk: a million records need no more memory
than a thousand."""

from __future__ import annotations

import csv
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goodpart.errors import MissingExtraError
from goodpart.records.errors import RecordsError
from goodpart.records.record import Record

# Column and its kind; the order is the order of the file.
COLUMNS: dict[str, str] = {
    "number": "int",
    "id": "text",
    "arrival": "text",
    "pocket": "text",
    "part": "text",
    "source": "text",
    "verdict": "text",
    "score": "float",
    "limit_ok": "float",
    "limit_ng": "float",
    "reason": "text",
    "message": "text",
    "regions": "int",
    "region_area": "int",
    "lot": "text",
    "station": "text",
    "operator": "text",
    "recipe": "text",
    "model_id": "text",
    "model_version": "text",
    "sha256": "text",
    "image": "text",
    "heatmap": "text",
    "taken_at": "time",
    "recorded_at": "time",
    "total_ms": "float",
    "review_verdict": "text",
    "review_defect": "text",
    "review_note": "text",
    "reviewer": "text",
    "reviewed_at": "time",
}

SUFFIXES = (".csv", ".parquet")


def check_target(target: Path, *, force: bool) -> None:
    """Refuse what cannot or must not be written, before any work is done.

    Raises
    ------
    RecordsError
        Another suffix, or the file exists and ``force`` is not given.
    MissingExtraError
        Parquet without pyarrow.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise RecordsError(f"{target}: records are exported to {' or '.join(SUFFIXES)}")
    if target.exists() and not force:
        raise RecordsError(f"{target}: exists already; give another name or add --force")
    if target.suffix.lower() == ".parquet":
        _pyarrow()


def export(chunks: Iterable[list[Record]], target: Path) -> int:
    """Write records and give their number; a file appears only when it is complete.

    Parameters
    ----------
    chunks : iterable of lists of Record
    target : Path
        ``.csv`` (UTF-8 with a mark that spreadsheets know, ISO 8601 times in UTC) or
        ``.parquet``.

    Raises
    ------
    RecordsError
        The file cannot be written.
    """
    writer = _parquet if target.suffix.lower() == ".parquet" else _csv
    try:
        with _whole(target) as temporary:
            return writer(chunks, temporary)
    except OSError as error:
        raise RecordsError(f"{target}: cannot be written: {error.strerror or error}") from None


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def flat(record: Record) -> dict[str, Any]:
    """A record as one row of :data:`COLUMNS`."""
    inspection, review = record.inspection, record.review
    limits = inspection.limits
    return {
        "number": record.number,
        "id": inspection.id,
        "arrival": record.arrival,
        "pocket": inspection.pocket,
        "part": inspection.part,
        "source": inspection.source,
        "verdict": inspection.verdict.value,
        "score": inspection.score,
        "limit_ok": limits.ok if limits else None,
        "limit_ng": limits.ng if limits else None,
        "reason": inspection.reason,
        "message": inspection.message,
        "regions": len(inspection.regions),
        "region_area": sum(region.area for region in inspection.regions),
        "lot": record.lot,
        "station": record.station,
        "operator": record.operator,
        "recipe": record.recipe,
        "model_id": inspection.model_id,
        "model_version": record.model_version,
        "sha256": inspection.sha256,
        "image": record.image,
        "heatmap": record.heatmap,
        "taken_at": inspection.taken_at,
        "recorded_at": record.recorded_at,
        "total_ms": inspection.timings.get("total"),
        "review_verdict": review.verdict if review else None,
        "review_defect": review.defect if review else None,
        "review_note": review.note if review else None,
        "reviewer": review.reviewer if review else None,
        "reviewed_at": review.at if review else None,
    }


def _csv(chunks: Iterable[list[Record]], target: Path) -> int:
    convert: dict[str, Callable[[Any], Any]] = {
        "int": str,
        "float": repr,
        "text": _harmless,
        "time": lambda value: value.isoformat(),
    }
    count = 0
    with open(target, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for records in chunks:
            for record in records:
                row = flat(record)
                writer.writerow(
                    "" if row[name] is None else convert[kind](row[name])
                    for name, kind in COLUMNS.items()
                )
            count += len(records)
    return count


def _harmless(text: str) -> str:
    """File names come from outside; a spreadsheet must not run one that looks like a formula.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _parquet(chunks: Iterable[list[Record]], target: Path) -> int:
    arrow, parquet = _pyarrow()
    kinds = {
        "int": arrow.int64(),
        "float": arrow.float64(),
        "text": arrow.string(),
        "time": arrow.timestamp("us", tz="UTC"),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    count = 0
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        for records in chunks:
            rows = [flat(record) for record in records]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            count += len(records)
    return count


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet") from None
    return pyarrow, pyarrow.parquet
