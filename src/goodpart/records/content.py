"""Between an inspection and its rows, and the hash of what the rows say.

The hash is taken of the values as they are stored, on writing and on checking alike.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, RowMapping, select

from goodpart.decision import Inspection, Limits, Region, Verdict
from goodpart.records.canonical import canonical, digest, number, optional, storable
from goodpart.records.record import Kept, Record, Review
from goodpart.records.schema import InspectionRow, ModelRow, RegionRow, ReviewRow

# Where the database put a row is not part of what the row says.
UNHASHED = frozenset({"number", "event"})
REGION_FIELDS = (
    "place",
    "x",
    "y",
    "width",
    "height",
    "area",
    "peak",
    "mean",
    "area_mm2",
    "contour",
)
REVIEW_FIELDS = ("verdict", "reviewer", "station", "defect", "note", "at")

Values = Mapping[str, Any] | RowMapping


def inspection_values(inspection: Inspection, **around: Any) -> dict[str, Any]:
    """The row of an inspection.

    Parameters
    ----------
    inspection : Inspection
    **around
        ``arrival, place, kept, model_version, recipe, lot, station, operator, recorded_at``.
    """
    kept: Kept = around["kept"]
    limits = inspection.limits
    timings = {name: number(value) for name, value in inspection.timings.items()}
    transform = inspection.transform
    return {
        "id": storable(inspection.id),
        "arrival": storable(around["arrival"]),
        "pocket": storable(inspection.pocket or ""),
        "place": around["place"],
        "verdict": inspection.verdict.value,
        "score": number(inspection.score),
        "limit_ok": number(limits.ok) if limits else None,
        "limit_ng": number(limits.ng) if limits else None,
        "reason": optional(inspection.reason),
        "message": optional(inspection.message),
        "source": storable(inspection.source),
        "part": storable(inspection.part),
        "sha256": inspection.sha256,
        "image": kept.image,
        "heatmap": kept.heatmap,
        "model_id": optional(inspection.model_id),
        "model_version": around["model_version"],
        "recipe": optional(around["recipe"]),
        "lot": optional(around["lot"]),
        "station": storable(around["station"]),
        "operator": optional(around["operator"]),
        "taken_at": inspection.taken_at,
        "recorded_at": around["recorded_at"],
        # The calendar day where the station stands: what people mean by a day's production.
        "day": inspection.taken_at.astimezone().date().isoformat(),
        "timings": canonical(timings),
        "transform": None if transform is None else canonical(np.asarray(transform).tolist()),
    }


def region_values(regions: Iterable[Region]) -> list[dict[str, Any]]:
    """The rows of an inspection's regions, without the inspection's number."""
    return [
        {
            "place": place,
            "x": int(region.x),
            "y": int(region.y),
            "width": int(region.width),
            "height": int(region.height),
            "area": int(region.area),
            "peak": number(region.peak),
            "mean": number(region.mean),
            "area_mm2": number(region.area_mm2),
            "contour": canonical([[int(x), int(y)] for x, y in region.contour]),
        }
        for place, region in enumerate(regions)
    ]


def inspection_hash(row: Values, regions: Iterable[Values]) -> str:
    """Hash of an inspection with its regions."""
    said = {key: value for key, value in row.items() if key not in UNHASHED}
    return digest({**said, "regions": [[r[name] for name in REGION_FIELDS] for r in regions]})


def review_hash(row: Values, inspection_id: str) -> str:
    """Hash of a review."""
    return digest({"inspection": inspection_id, **{name: row[name] for name in REVIEW_FIELDS}})


def model_hash(row: Values) -> str:
    """Hash of a registered model."""
    return digest({key: value for key, value in row.items() if key not in UNHASHED})


def hashes(connection: Connection, start: int, end: int) -> dict[str, dict[str, tuple[int, str]]]:
    """Content hashes of the rows that point to the audit entries ``start`` to ``end``.

    Returns
    -------
    dict
        For each kind of entry: the entry and the hash, by the row's key.
    """
    inspections = connection.execute(
        select(InspectionRow.__table__).where(InspectionRow.event.between(start, end))
    ).mappings()
    rows = inspections.all()
    regions = regions_of(connection, [row["number"] for row in rows])
    reviews = connection.execute(
        select(ReviewRow.__table__, InspectionRow.id.label("inspection_id"))
        .join(InspectionRow, InspectionRow.number == ReviewRow.inspection, isouter=True)
        .where(ReviewRow.event.between(start, end))
    ).mappings()
    models = connection.execute(
        select(ModelRow.__table__).where(ModelRow.event.between(start, end))
    ).mappings()
    return {
        "inspected": {
            row["id"]: (row["event"], inspection_hash(row, regions[row["number"]])) for row in rows
        },
        "reviewed": {
            review_key(row["inspection_id"], row["at"]): (
                row["event"],
                review_hash(row, row["inspection_id"]),
            )
            for row in reviews
        },
        "model": {row["version"]: (row["event"], model_hash(row)) for row in models},
    }


def review_key(inspection_id: str | None, at: datetime) -> str:
    """What the audit trail calls a review."""
    return f"{inspection_id} at {at.isoformat(timespec='microseconds')}"


def regions_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Values]]:
    """Region rows by their inspection's number, in order."""
    found: dict[int, list[Values]] = defaultdict(list)
    for part in _slices(numbers):
        query = (
            select(RegionRow.__table__)
            .where(RegionRow.inspection.in_(part))
            .order_by(RegionRow.inspection, RegionRow.place, RegionRow.id)
        )
        for row in connection.execute(query).mappings():
            found[row["inspection"]].append(row)
    return found


def reviews_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Review]]:
    """Reviews by their inspection's number, oldest first."""
    found: dict[int, list[Review]] = defaultdict(list)
    for part in _slices(numbers):
        query = (
            select(ReviewRow.__table__)
            .where(ReviewRow.inspection.in_(part))
            .order_by(ReviewRow.inspection, ReviewRow.id)
        )
        for row in connection.execute(query).mappings():
            found[row["inspection"]].append(Review(**{name: row[name] for name in REVIEW_FIELDS}))
    return found


def _slices(numbers: Sequence[int], size: int = 500) -> Iterable[Sequence[int]]:
    """Few enough for one statement."""
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def record_from(row: Values, regions: Iterable[Values], reviews: Iterable[Review] = ()) -> Record:
    """A record from its rows."""
    limits = None
    if row["limit_ok"] is not None:
        limits = Limits(row["limit_ok"], row["limit_ng"])
    transform = row["transform"]
    inspection = Inspection(
        Verdict(row["verdict"]),
        source=row["source"],
        part=row["part"],
        score=row["score"],
        limits=limits,
        reason=row["reason"],
        message=row["message"],
        regions=tuple(_region(region) for region in regions),
        transform=None if transform is None else np.array(json.loads(transform), dtype=np.float64),
        pocket=row["pocket"] or None,
        sha256=row["sha256"],
        model_id=row["model_id"],
        timings=json.loads(row["timings"]),
        id=row["id"],
        taken_at=row["taken_at"],
    )
    return Record(
        number=row["number"],
        inspection=inspection,
        arrival=row["arrival"],
        station=row["station"],
        recorded_at=row["recorded_at"],
        lot=row["lot"],
        operator=row["operator"],
        recipe=row["recipe"],
        model_version=row["model_version"],
        kept=Kept(row["image"], row["heatmap"]),
        reviews=tuple(reviews),
    )


def _region(row: Values) -> Region:
    def known(value: float | None) -> float:
        return float("nan") if value is None else value

    return Region(
        x=row["x"],
        y=row["y"],
        width=row["width"],
        height=row["height"],
        area=row["area"],
        peak=known(row["peak"]),
        mean=known(row["mean"]),
        contour=tuple((x, y) for x, y in json.loads(row["contour"])),
        area_mm2=row["area_mm2"],
    )
