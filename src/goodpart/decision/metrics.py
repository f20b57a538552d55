"""How well scores separate good from defective, and what limits cost on test images.

Image figures come from raw scores. Pixel figures are gathered image by image, in bounded memory:
each score map is counted into 2**20 fine bins of its floating-point numbers (a relative width of
1/2048), and areas are taken from the counts.

Sources: Fawcett, *An introduction to ROC analysis* (2006); Bergmann, Fauser, Sattlegger and
Steger, *MVTec AD* (2019 and IJCV 2021), for AUPRO: per-region overlap against the false positive
rate, integrated up to 30 % and divided by 0.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from goodpart.decision.inspection import Verdict
from goodpart.decision.limits import clopper_pearson, upper_bound

KEY_BITS = 20
AUPRO_LIMIT = 0.3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Points of a ROC or precision-recall curve, by falling threshold.

    Parameters
    ----------
    x, y : ndarray of float64, (K,)
        False and true positive rate, or recall and precision.
    thresholds : ndarray of float64, (K,)
        A part counts as defective at or above it; the first is infinite.
    """

    x: Floats
    y: Floats
    thresholds: Floats


def _ranked(good: ArrayLike, defective: ArrayLike) -> tuple[Floats, Floats, Floats] | None:
    """Counts of false and true positives at each distinct score, from the highest down."""
    low = np.asarray(good, dtype=np.float64).ravel()
    high = np.asarray(defective, dtype=np.float64).ravel()
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("scores must be finite: leave out parts that were not judged")
    if low.size == 0 or high.size == 0:
        return None
    scores = np.concatenate([low, high])
    positive = np.concatenate([np.zeros(low.size), np.ones(high.size)])
    order = np.argsort(-scores, kind="stable")
    scores, positive = scores[order], positive[order]
    last = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)
    true = np.cumsum(positive)[last]
    return last + 1.0 - true, true, scores[last]


def roc_curve(good: ArrayLike, defective: ArrayLike) -> Curve | None:
    """False against true positive rate.

    Parameters
    ----------
    good, defective : array of float
        Raw scores, higher = less like a good part.

    Returns
    -------
    Curve or None
        ``None`` where one of the classes is missing.

    Raises
    ------
    ValueError
        A score is not finite.
    """
    ranked = _ranked(good, defective)
    if ranked is None:
        return None
    false, true, thresholds = ranked
    return Curve(
        np.append(0.0, false / false[-1]),
        np.append(0.0, true / true[-1]),
        np.append(np.inf, thresholds),
    )


def auroc(good: ArrayLike, defective: ArrayLike) -> float | None:
    """Area under the ROC curve: the chance that a defective part scores above a good one.

    Ties count half. ``None`` where one of the classes is missing; see :func:`roc_curve`.
    """
    curve = roc_curve(good, defective)
    return None if curve is None else float(np.trapezoid(curve.y, curve.x))


def pr_curve(good: ArrayLike, defective: ArrayLike) -> Curve | None:
    """Recall against precision, defective parts being the ones to find; see :func:`roc_curve`."""
    ranked = _ranked(good, defective)
    if ranked is None:
        return None
    false, true, thresholds = ranked
    return Curve(
        np.append(0.0, true / true[-1]),
        np.append(1.0, true / (true + false)),
        np.append(np.inf, thresholds),
    )


def average_precision(good: ArrayLike, defective: ArrayLike) -> float | None:
    """Mean precision over the recall steps, without interpolation; see :func:`pr_curve`."""
    curve = pr_curve(good, defective)
    return None if curve is None else float((np.diff(curve.x) * curve.y[1:]).sum())


class PixelMetrics:
    """Pixel AUROC and AUPRO, gathered image by image.

    Memory is two arrays of 2**20 numbers (16 MiB), however many images there are.
    """

    def __init__(self) -> None:
        self._clean = np.zeros(2**KEY_BITS, dtype=np.int64)
        self._defective = np.zeros(2**KEY_BITS, dtype=np.int64)
        # Every region adds one in all, spread over its pixels, however large it is.
        self._overlap = np.zeros(2**KEY_BITS, dtype=np.float64)
        self.regions = 0
        self.images = 0

    def add(self, score_map: NDArray[np.float32], mask: NDArray[Any]) -> None:
        """Count one image.

        Parameters
        ----------
        score_map : ndarray of float32, (H, W)
            At the mask's size; minus infinity where a pixel was ignored.
        mask : ndarray, (H, W)
            Non-zero where the defect is; all zero for a good part.

        Raises
        ------
        ValueError
            The shapes differ, or the map holds a NaN.
        """
        if score_map.shape != mask.shape:
            raise ValueError(f"a map of {score_map.shape} for a mask of {mask.shape}")
        keys = _keys(score_map)
        wrong = (mask != 0).astype(np.uint8)
        self._clean += np.bincount(keys[wrong == 0], minlength=2**KEY_BITS)
        self.images += 1
        if not wrong.any():
            return
        count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong, connectivity=8)
        inside = wrong != 0
        found = keys[inside]
        weights = 1.0 / stats[labels[inside], cv2.CC_STAT_AREA]
        self._defective += np.bincount(found, minlength=2**KEY_BITS)
        self._overlap += np.bincount(found, weights, minlength=2**KEY_BITS)
        self.regions += count - 1

    def auroc(self) -> float | None:
        """Pixel AUROC; ``None`` without defective or without clean pixels."""
        clean, defective = self._clean.sum(), self._defective.sum()
        if not clean or not defective:
            return None
        x, y = self._falling(self._clean / clean, self._defective / defective)
        return float(np.trapezoid(y, x))

    def aupro(self, limit: float = AUPRO_LIMIT) -> float | None:
        """Mean overlap of regions against the false positive rate, up to ``limit``, over 0..1."""
        clean = self._clean.sum()
        if not clean or not self.regions:
            return None
        x, y = self._falling(self._clean / clean, self._overlap / self.regions)
        at_limit = np.interp(limit, x, y)
        inside = x < limit
        x, y = np.append(x[inside], limit), np.append(y[inside], at_limit)
        return float(np.trapezoid(y, x) / limit)

    @staticmethod
    def _falling(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Cumulated from the highest score down, starting at the origin."""
        used = np.flatnonzero((x > 0) | (y > 0))[::-1]
        return np.append(0.0, np.cumsum(x[used])), np.append(0.0, np.cumsum(y[used]))


def _keys(score_map: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bin of each score: the leading bits of the float, remapped so that order is kept."""
    values = np.ascontiguousarray(score_map, dtype=np.float32)
    if np.isnan(values).any():
        raise ValueError("a score map with NaN cannot be measured")
    bits = (values + np.float32(0)).view(np.uint32)  # minus zero becomes zero
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return (ordered >> np.uint32(32 - KEY_BITS)).astype(np.int64)


@dataclass(frozen=True)
class Rate:
    """A rate with its exact bounds.

    Parameters
    ----------
    count, n : int
    """

    count: int
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Rate, counts, one-sided 95 % upper bound and two-sided 95 % interval; null at n = 0."""
        if self.n == 0:
            return {"rate": None, "count": 0, "n": 0, "upper95": None, "interval95": None}
        return {
            "rate": self.count / self.n,
            "count": self.count,
            "n": self.n,
            "upper95": upper_bound(self.count, self.n),
            "interval95": list(clopper_pearson(self.count, self.n)),
        }


def rates(verdicts: Iterable[tuple[bool, Verdict]]) -> dict[str, Any]:
    """Overkill, escape and check rate, and what was not judged.

    Parameters
    ----------
    verdicts : iterable of (bool, Verdict)
        Whether the part is good in truth, and what was said of it.

    Returns
    -------
    dict
        ``overkill`` (good parts judged NG), ``escape`` (defective parts judged OK), ``check`` with
        ``good`` and ``defective``: each a :class:`Rate` among the judged parts as a dict;
        ``not_judged`` with ``good`` and ``defective`` among all.
    """
    table = {(good, verdict): 0 for good in (True, False) for verdict in Verdict}
    for good, verdict in verdicts:
        table[good, verdict] += 1

    def among(good: bool, verdict: Verdict) -> dict[str, Any]:
        everything = sum(table[good, v] for v in Verdict)
        judged = everything - table[good, Verdict.NOT_JUDGED]
        n = everything if verdict is Verdict.NOT_JUDGED else judged
        return Rate(table[good, verdict], n).to_dict()

    return {
        "overkill": among(True, Verdict.NG),
        "escape": among(False, Verdict.OK),
        "check": {
            "good": among(True, Verdict.CHECK),
            "defective": among(False, Verdict.CHECK),
        },
        "not_judged": {
            "good": among(True, Verdict.NOT_JUDGED),
            "defective": among(False, Verdict.NOT_JUDGED),
        },
    }


def quantiles(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95 % quantile, ``null`` without values."""
    if not values:
        return {"p50": None, "p95": None}
    p50, p95 = np.quantile(np.asarray(values, dtype=np.float64), [0.5, 0.95])
    return {"p50": float(p50), "p95": float(p95)}
