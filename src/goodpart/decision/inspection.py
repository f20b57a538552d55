"""The inspection: the immutable result for one part image, the one currency between rooms."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Verdict(str, Enum):
    """What is said of a part. A failure is ``NOT_JUDGED``, never ``OK``."""

    OK = "OK"
    NG = "NG"
    CHECK = "CHECK"
    NOT_JUDGED = "NOT_JUDGED"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Limits:
    """Two thresholds on the score.

    Parameters
    ----------
    ok : float
        At or below it a part is OK.
    ng : float
        Above it a part is NG; between the two it is CHECK. Never below ``ok``.
    """

    ok: float
    ng: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ok) and np.isfinite(self.ng)):
            raise ValueError(f"limits must be finite, got ok={self.ok} ng={self.ng}")
        if self.ng < self.ok:
            raise ValueError(f"the limit ng={self.ng} lies below ok={self.ok}")

    def verdict(self, score: float) -> Verdict:
        """Verdict for a score; a score that is not a finite number is NOT_JUDGED."""
        if not np.isfinite(score):
            return Verdict.NOT_JUDGED
        if score <= self.ok:
            return Verdict.OK
        return Verdict.NG if score > self.ng else Verdict.CHECK


@dataclass(frozen=True, slots=True)
class Region:
    """A connected defect area of a part image.

    Parameters
    ----------
    x, y, width, height : int
        Bounding box in pixels of the part image.
    area : int
        Area in pixels of the part image.
    peak, mean : float
        Highest and mean score inside.
    contour : tuple of (int, int)
        The outer contour, (x, y) in pixels of the part image.
    area_mm2 : float, optional
        Area in mm² where the recipe gives the scale.
    """

    x: int
    y: int
    width: int
    height: int
    area: int
    peak: float
    mean: float
    contour: tuple[tuple[int, int], ...] = ()
    area_mm2: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON and the records."""
        return {
            "x": self.x,
            "y": self.y,
            "width": self.width,
            "height": self.height,
            "area": self.area,
            "peak": self.peak,
            "mean": self.mean,
            "area_mm2": self.area_mm2,
            "contour": [list(point) for point in self.contour],
        }


def _new_id() -> str:
    return uuid.uuid4().hex


def _now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Inspection:
    """The result for one part image.

    Parameters
    ----------
    verdict : Verdict
    source : str
        Name of the image that it came from (a file's path as given, or ``"array"``).
    part : str
        Name of the part: the source's stem, with ``_<pocket>`` where it lay in a tray.
    score : float or None
        ``None`` where nothing was scored.
    limits : Limits or None
    reason : str or None
        For NOT_JUDGED: a short code such as ``"unreadable"``, ``"empty"``, ``"cut off"``.
    message : str or None
        The whole sentence behind ``reason``.
    regions : tuple of Region
        Empty for a part without anything that stands out.
    image : ndarray or None
        The part image that was scored: uint8 (or float32 0..255 for deeper images),
        (H, W) or (H, W, 3) RGB.
    raw_map : ndarray or None
        float32 (h, w), the detector's own resolution; see :attr:`score_map`.
    mask : ndarray or None
        bool (H, W), true where pixels count.
    transform : ndarray or None
        float64 (3, 3): homogeneous (x, y, 1) of the part image to the source image.
    pocket : str or None
        Place in the tray.
    sha256 : str or None
        Of the source's bytes.
    model_id : str or None
    timings : dict of str to float
        Milliseconds for each step (decode, locate, score, decide) and ``total``.
    id : str
        Unique for every inspection.
    taken_at : datetime
        UTC.
    """

    verdict: Verdict
    source: str
    part: str
    score: float | None = None
    limits: Limits | None = None
    reason: str | None = None
    message: str | None = None
    regions: tuple[Region, ...] = ()
    image: NDArray[Any] | None = field(default=None, repr=False, compare=False)
    raw_map: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    mask: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)
    transform: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    pocket: str | None = None
    sha256: str | None = None
    model_id: str | None = None
    timings: dict[str, float] = field(default_factory=dict, compare=False)
    id: str = field(default_factory=_new_id)
    taken_at: datetime = field(default_factory=_now)

    def __post_init__(self) -> None:
        if self.verdict is Verdict.NOT_JUDGED:
            if not self.reason:
                raise ValueError("a NOT_JUDGED inspection says why: give a reason")
        elif self.score is None or not np.isfinite(self.score):
            raise ValueError(f"a verdict {self.verdict} needs a finite score, got {self.score}")

    @cached_property
    def score_map(self) -> NDArray[np.float32] | None:
        """float32 (H, W) of the part image's size, higher = less like a good part."""
        if self.raw_map is None or self.image is None:
            return self.raw_map
        from goodpart.decision.maps import resize_map

        height, width = self.image.shape[:2]
        return resize_map(self.raw_map, (height, width))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON, records and messages."""
        return {
            "id": self.id,
            "source": self.source,
            "part": self.part,
            "pocket": self.pocket,
            "verdict": self.verdict.value,
            "score": self.score,
            "limits": None if self.limits is None else {"ok": self.limits.ok, "ng": self.limits.ng},
            "reason": self.reason,
            "message": self.message,
            "regions": [region.to_dict() for region in self.regions],
            "transform": None if self.transform is None else self.transform.tolist(),
            "sha256": self.sha256,
            "model_id": self.model_id,
            "timings_ms": dict(self.timings),
            "taken_at": self.taken_at.isoformat(),
        }
