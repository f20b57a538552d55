"""The tables. A change here needs a new migration beside it; a test holds the two together.

Text that an entry of the audit trail is a hash of (data, timings, transform, contour) is kept as
canonical JSON in text columns: a database that reformats JSON would break the hashes.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

BigId = BigInteger().with_variant(Integer, "sqlite")

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes, kept in UTC to the microsecond by databases with and without time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To UTC; a naive datetime is a mistake."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Aware, in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it from the class)
        str: Text,
        float: Double,
        int: Integer,
        datetime: UtcDateTime,
    }


class EventRow(Base):
    """The audit trail: each entry's hash covers the entry and the hash before it."""

    __tablename__ = "events"

    seq: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str]
    station: Mapped[str]
    actor: Mapped[str | None]
    subject: Mapped[str | None]
    data: Mapped[str]
    previous: Mapped[str]
    hash: Mapped[str]

    __table_args__ = (Index(None, "kind"),)


class ModelRow(Base):
    """A model as it judged: an id with other limits is another version."""

    __tablename__ = "models"

    version: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str]
    detector: Mapped[str]
    recipe_name: Mapped[str]
    recipe: Mapped[str]
    limit_ok: Mapped[float]
    limit_ng: Mapped[float]
    level: Mapped[float]
    provenance: Mapped[str]
    registered_at: Mapped[datetime]
    event: Mapped[int] = mapped_column(BigId, ForeignKey("events.seq"))

    __table_args__ = (Index(None, "event"),)


class InspectionRow(Base):
    """One verdict. ``pocket`` is empty for an image of one part, so that an arrival is unique."""

    __tablename__ = "inspections"

    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    id: Mapped[str]
    arrival: Mapped[str]
    pocket: Mapped[str]
    place: Mapped[int]
    verdict: Mapped[str]
    score: Mapped[float | None]
    limit_ok: Mapped[float | None]
    limit_ng: Mapped[float | None]
    reason: Mapped[str | None]
    message: Mapped[str | None]
    source: Mapped[str]
    part: Mapped[str]
    sha256: Mapped[str | None]
    image: Mapped[str | None]
    heatmap: Mapped[str | None]
    model_id: Mapped[str | None]
    model_version: Mapped[str | None] = mapped_column(ForeignKey("models.version"))
    recipe: Mapped[str | None]
    lot: Mapped[str | None]
    station: Mapped[str]
    operator: Mapped[str | None]
    taken_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    day: Mapped[str]
    timings: Mapped[str]
    transform: Mapped[str | None]
    event: Mapped[int] = mapped_column(BigId, ForeignKey("events.seq"))

    __table_args__ = (
        UniqueConstraint("id"),
        UniqueConstraint("arrival", "pocket"),
        CheckConstraint("verdict IN ('OK', 'NG', 'CHECK', 'NOT_JUDGED')", name="verdict"),
        Index(None, "taken_at"),
        Index(None, "verdict", "number"),
        Index(None, "day", "verdict"),
        Index(None, "lot"),
        Index(None, "image"),
        Index(None, "heatmap"),
        Index(None, "event"),
    )


class RegionRow(Base):
    """A connected defect area of an inspection."""

    __tablename__ = "regions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    inspection: Mapped[int] = mapped_column(BigId, ForeignKey("inspections.number"))
    place: Mapped[int]
    x: Mapped[int]
    y: Mapped[int]
    width: Mapped[int]
    height: Mapped[int]
    area: Mapped[int]
    peak: Mapped[float | None]
    mean: Mapped[float | None]
    area_mm2: Mapped[float | None]
    contour: Mapped[str]

    __table_args__ = (Index(None, "inspection"),)


class ReviewRow(Base):
    """A person's verdict; an inspection may be reviewed again, the last one counts."""

    __tablename__ = "reviews"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    inspection: Mapped[int] = mapped_column(BigId, ForeignKey("inspections.number"))
    verdict: Mapped[str]
    reviewer: Mapped[str]
    station: Mapped[str]
    defect: Mapped[str | None]
    note: Mapped[str | None]
    at: Mapped[datetime]
    event: Mapped[int] = mapped_column(BigId, ForeignKey("events.seq"))

    __table_args__ = (
        CheckConstraint("verdict IN ('OK', 'NG')", name="verdict"),
        Index(None, "inspection"),
        Index(None, "event"),
    )


class OutboxRow(Base):
    """A message that an output is to send; it belongs to the station that judged."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    output: Mapped[str]
    key: Mapped[str]
    station: Mapped[str]
    payload: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int]
    next_attempt: Mapped[datetime]
    created_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    error: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("output", "key"),
        CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
        Index(None, "station", "state", "next_attempt"),
    )


class TrainingImageRow(Base):
    """SHA-256 of an image file that a model learned from: retention spares its picture."""

    __tablename__ = "training_images"

    sha256: Mapped[str] = mapped_column(primary_key=True)
