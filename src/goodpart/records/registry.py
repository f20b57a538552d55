"""Which models judged, and which images they learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select

from goodpart.records import audit, content
from goodpart.records.canonical import canonical, digest, now, storable
from goodpart.records.schema import ModelRow, TrainingImageRow

if TYPE_CHECKING:
    from goodpart.model import Model

BATCH = 500


def register(connection: Connection, model: Model, *, station: str) -> str:
    """Note a model with its limits, once, and give its version."""
    row: dict[str, Any] = {
        "id": storable(model.id),
        "detector": model.detector.name,
        "recipe_name": storable(model.recipe.name),
        "recipe": storable(canonical(model.recipe.model_dump(mode="json"))),
        "limit_ok": float(model.limits.ok),
        "limit_ng": float(model.limits.ng),
        "level": float(model.level),
    }
    version = f"{row['id']}-{digest(row)[:12]}"
    known = select(ModelRow.version).where(ModelRow.version == version)
    if connection.execute(known).first() is not None:
        return version
    row |= {
        "version": version,
        "provenance": storable(canonical(model.provenance)),
        "registered_at": now(),
    }
    said = {"content": {version: content.model_hash(row)}}
    row["event"] = audit.append(connection, "model", station=station, subject=version, data=said)
    connection.execute(insert(ModelRow), row)
    add_training(connection, model.provenance.get("image_sha256") or ())
    return version


def add_training(connection: Connection, hashes: Sequence[str]) -> None:
    """Note SHA-256 of image files that a model learned from."""
    wanted = sorted({value.lower() for value in hashes})
    known: set[str] = set()
    for start in range(0, len(wanted), BATCH):
        part = wanted[start : start + BATCH]
        query = select(TrainingImageRow.sha256).where(TrainingImageRow.sha256.in_(part))
        known.update(connection.execute(query).scalars())
    new = [{"sha256": value} for value in wanted if value not in known]
    if new:
        connection.execute(insert(TrainingImageRow), new)
