"""What goes into the records and what comes out: plain frozen data, no database objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from goodpart.decision import Inspection


@dataclass(frozen=True)
class Kept:
    """What the image store holds of an inspection.

    Parameters
    ----------
    image, heatmap : str, optional
        SHA-256 of the PNG file: the part image, and the score map in 8 bits.
    """

    image: str | None = None
    heatmap: str | None = None


@dataclass(frozen=True)
class Message:
    """Something an output is to send, spooled in the transaction that records the verdict.

    Parameters
    ----------
    output : str
        Name of the output, such as ``"webhook"``.
    key : str
        Idempotency key, the inspection's id; an output takes a key once.
    payload : object
        Anything JSON can hold.
    """

    output: str
    key: str
    payload: Any


@dataclass(frozen=True)
class Pending:
    """A spooled message that is due.

    Parameters
    ----------
    id : int
    output, key : str
    payload : object
    attempts : int
        How often it was tried in vain.
    created_at : datetime
        UTC.
    """

    id: int
    output: str
    key: str
    payload: Any
    attempts: int
    created_at: datetime


@dataclass(frozen=True)
class Review:
    """A person's verdict on an inspection.

    Parameters
    ----------
    verdict : str
        ``"OK"`` or ``"NG"``.
    reviewer : str
    at : datetime
        UTC.
    defect, note : str, optional
    station : str
    """

    verdict: str
    reviewer: str
    at: datetime
    defect: str | None = None
    note: str | None = None
    station: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "verdict": self.verdict,
            "reviewer": self.reviewer,
            "at": self.at.isoformat(),
            "defect": self.defect,
            "note": self.note,
            "station": self.station,
        }


@dataclass(frozen=True)
class Record:
    """An inspection as kept in the database.

    Parameters
    ----------
    number : int
        Counts up in the order of recording.
    inspection : Inspection
        Without its arrays; everything else as it was when it was recorded.
    arrival : str
        Identity of the arrival: the image that was judged, once.
    station : str
    recorded_at : datetime
        UTC.
    lot, operator, recipe : str, optional
    model_version : str, optional
        The model's id and a fingerprint of its recipe and limits.
    kept : Kept
        Hashes in the image store; the files may have been pruned since.
    reviews : tuple of Review
        Oldest first; the last one counts.
    """

    number: int
    inspection: Inspection
    arrival: str
    station: str
    recorded_at: datetime
    lot: str | None = None
    operator: str | None = None
    recipe: str | None = None
    model_version: str | None = None
    kept: Kept = field(default_factory=Kept)
    reviews: tuple[Review, ...] = ()

    @property
    def image(self) -> str | None:
        """Hash of the part image in the image store."""
        return self.kept.image

    @property
    def heatmap(self) -> str | None:
        """Hash of the heatmap in the image store."""
        return self.kept.heatmap

    @property
    def review(self) -> Review | None:
        """The review that counts."""
        return self.reviews[-1] if self.reviews else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "number": self.number,
            **self.inspection.to_dict(),
            "arrival": self.arrival,
            "lot": self.lot,
            "station": self.station,
            "operator": self.operator,
            "recipe": self.recipe,
            "model_version": self.model_version,
            "image": self.image,
            "heatmap": self.heatmap,
            "recorded_at": self.recorded_at.isoformat(),
            "reviews": [review.to_dict() for review in self.reviews],
        }


@dataclass(frozen=True)
class Filter:
    """Which records; everything given must hold.

    Parameters
    ----------
    since, until : datetime, optional
        Aware; taken at or after ``since`` and before ``until``.
    verdicts : sequence of str
        One of these; empty: any.
    lot, station, operator, recipe : str, optional
        Exactly this.
    model : str, optional
        Start of the model's id.
    part : str, optional
        Occurs in the part's or the source's name, whatever the case.
    reviewed : bool, optional
        Has a review, or has none.
    """

    since: datetime | None = None
    until: datetime | None = None
    verdicts: Sequence[str] = ()
    lot: str | None = None
    station: str | None = None
    operator: str | None = None
    recipe: str | None = None
    model: str | None = None
    part: str | None = None
    reviewed: bool | None = None


@dataclass(frozen=True)
class Count:
    """How many inspections had which verdict.

    Parameters
    ----------
    group : str or None
        The day, lot, station, model or recipe; ``None`` where the records name none.
    ok, ng, check, not_judged : int
    """

    group: str | None
    ok: int = 0
    ng: int = 0
    check: int = 0
    not_judged: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.ng + self.check + self.not_judged

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "group": self.group,
            "total": self.total,
            "ok": self.ok,
            "ng": self.ng,
            "check": self.check,
            "not_judged": self.not_judged,
        }
