"""Limits from scores: what a threshold on the score promises, and what it assumes.

The promise is conformal: if the good parts to come are exchangeable with the good images that
the limit was set on, the chance that a new good part scores above the k-th highest of their n
scores is at most

- ``k / (n + 1)`` when these scores come from images that the detector never used (*split*), and
- twice that in the worst case when each comes from a model fitted without its fold
  (*cross-fitted*); in practice it is close to the former.

A rate seldom is a whole ``k / (n + 1)``. With 178 images the highest score is exceeded by 0.56 %
of good parts and the second highest by 1.12 %: to take the highest for 1 % would cost escapes that
nobody asked for. So the limit lies between the two in proportion. With split scores the chance is
then still at most ``alpha`` wherever the density of good scores does not rise from one of the two
to the other, as in any tail: the share above is convex there, hence no larger at a point between
than the share between (Jensen). Whatever the density, it is at most that of the lower score
(:func:`worst_rate`).

Sources: Vovk, Gammerman and Shafer, *Algorithmic Learning in a Random World* (2005), for split
conformal; Barber, Candès, Ramdas and Tibshirani, *Predictive inference with the jackknife+*
(2021), theorem 4, for the cross-fitted bound; Beran and Hall, *Interpolated nonparametric
prediction intervals and confidence intervals* (1993). Clopper and Pearson (1934) for the bounds
on rates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Limits

# A good image whose score lies this many robust deviations above the median is named as standing
# out and left out of the limits. Even for the long tail of an exponential distribution that is
# only 3 in 1000 images. The deviation of few scores is itself uncertain: with n of them the
# distance grows by FEW / n, which keeps that share from 8 images on.
OUTLIER_DEVIATIONS = 5.0
FEW = 10


@dataclass(frozen=True)
class Calibration:
    """Limits and how they came about.

    Parameters
    ----------
    limits : Limits
    overkill : float
        The rate asked for.
    guarantee : "split" or "cross-fitted" or "by hand"
    images : int
        Good images that the limit stands on, or good parts where those are counted, without
        those that stand out.
    smallest : float
        The smallest overkill that this many can promise.
    promised : bool
        Whether the rate asked for can be promised.
    outliers : tuple of int
        Indices of the good scores that stand out.
    notes : tuple of str
        Sentences for people.
    """

    limits: Limits
    overkill: float
    guarantee: str
    images: int
    smallest: float
    promised: bool
    outliers: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    escape: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for the manifest."""
        return {
            "limits": {"ok": self.limits.ok, "ng": self.limits.ng},
            "overkill": self.overkill,
            "escape": self.escape,
            "guarantee": self.guarantee,
            "images": self.images,
            "smallest": self.smallest,
            "promised": self.promised,
            "notes": list(self.notes),
        }


def images_needed(alpha: float) -> int:
    """The fewest good images for which a rate can be promised: ``ceil(1 / alpha) - 1``."""
    return math.ceil(1 / alpha - 1e-9) - 1


def smallest_rate(images: int) -> float:
    """The smallest rate that this many good images can promise: ``1 / (n + 1)``."""
    return 1.0 / (images + 1)


def worst_rate(images: int, alpha: float, guarantee: str = "split") -> float:
    """The most good parts above the limit on average, whatever their scores' density.

    ``k / (n + 1)`` for the lower of the two scores that the limit lies between, twice that where
    ``guarantee`` is ``"cross-fitted"``.
    """
    above, share = _place(images, alpha)
    worst = min(1.0, (above + (share > 0)) / (images + 1))
    return worst if guarantee == "split" else min(1.0, 2 * worst)


def conformal_limit(scores: Sequence[float] | NDArray[Any], alpha: float) -> float:
    """The score that a share ``alpha`` of further good parts exceeds.

    Between the k-th highest score and the next lower one in proportion, where
    ``k <= alpha * (n + 1) < k + 1``; the highest where n is too small for the rate.

    Raises
    ------
    ValueError
        There is no score, or one is not finite.
    """
    falling = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    if falling.size == 0 or not np.isfinite(falling).all():
        raise ValueError("limits need at least one good score, and all of them finite")
    above, share = _place(falling.size, alpha)
    upper, lower = falling[above - 1], falling[min(above, falling.size - 1)]
    return float(upper - share * (upper - lower))


def _place(images: int, alpha: float) -> tuple[int, float]:
    """k of the upper score, from 1, and how far towards the next lower one the limit lies."""
    expected = alpha * (images + 1) + 1e-9
    above = max(1, math.floor(expected))
    return above, 0.0 if expected - above < 1e-6 else expected - above


def standing_out(scores: Sequence[float] | NDArray[Any]) -> tuple[int, ...]:
    """Indices of good scores far above the rest, highest first.

    Median and deviation are robust, so that a few mislabelled images do not hide themselves.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size < 8:
        return ()
    center = np.median(values)
    # The upper half alone: what matters is how far the tail above the median usually reaches.
    upper = values[values >= center] - center
    deviation = 1.4826 * np.median(upper)
    if deviation <= 0:
        return ()
    distance = OUTLIER_DEVIATIONS * (1 + FEW / values.size)
    out = np.flatnonzero(values > center + distance * deviation)
    return tuple(int(i) for i in out[np.argsort(-values[out])])


def calibrate(
    good: Sequence[float],
    *,
    overkill: float = 0.01,
    guarantee: str = "cross-fitted",
    defects: Sequence[float] = (),
    escape: float | None = None,
    vouched: Collection[int] = (),
    parts: Sequence[int] | None = None,
    together: bool = False,
) -> Calibration:
    """Set the limits.

    Parameters
    ----------
    good : sequence of float
        Scores of good images by models that did not see them.
    overkill : float
        Share of good parts that may be judged NG.
    guarantee : "cross-fitted" or "split"
    defects : sequence of float
        Scores of defective images, for ``escape``.
    escape : float, optional
        Share of defective parts that may be judged OK: where that needs a lower limit than the
        overkill allows, ``ok`` is lowered and the band between becomes CHECK.
    vouched : collection of int
        Indices of good images that a person looked at: they never stand out.
    parts : sequence of int, optional
        Which part each good image shows, by default each its own. Where one image of a part
        stands out, all of that part do: a part is mislabelled in each of its captures, and two
        of them must not hide each other.
    together : bool
        A part counts once, by its highest score.

    Raises
    ------
    ValueError
        Without good scores, or when ``escape`` is asked for without defects.
    """
    scores = np.asarray(good, dtype=np.float64)
    outliers = tuple(index for index in standing_out(scores) if index not in vouched)
    if parts is not None:
        shown = {parts[index] for index in outliers}
        captures = [i for i, part in enumerate(parts) if part in shown and i not in vouched]
        outliers = tuple(sorted(captures, key=lambda index: -scores[index]))
    kept = np.delete(scores, list(outliers))
    unit = "good images"
    if parts is not None and together:
        unit = "different good parts"
        kept = highest(kept, np.delete(np.asarray(parts), list(outliers)))
    limit = conformal_limit(kept, overkill)
    notes = [_promise(guarantee, overkill, kept.size, unit)]
    if outliers:
        notes.append(
            f"{len(outliers)} of {scores.size} good images stand out and do not move the limit; "
            "look at them: they may be mislabelled"
        )
    ok = limit
    if escape is not None:
        if not len(defects):
            raise ValueError("a limit for a wanted escape rate needs defective images")
        wanted = escape_limit(defects, escape)
        ok = min(limit, wanted)
        if ok < limit:
            share = float((kept > ok).mean())
            notes.append(
                f"to meet the escape rate {share:.1%} of good parts go to a person (CHECK)"
            )
        if len(defects) < images_needed(escape):
            least = smallest_rate(len(defects))
            notes.append(
                f"with {len(defects)} defective images an escape rate below {least:.1%} "
                "cannot be promised"
            )
    return Calibration(
        limits=Limits(ok=ok, ng=limit),
        overkill=overkill,
        guarantee=guarantee,
        images=int(kept.size),
        smallest=smallest_rate(kept.size),
        promised=kept.size >= images_needed(overkill),
        outliers=outliers,
        notes=tuple(notes),
        escape=escape,
    )


def escape_limit(defects: Sequence[float], escape: float) -> float:
    """The highest limit that at most a share ``escape`` of defects falls to or below (conformal).

    The ``floor((n + 1) * escape)``-th smallest score is still let through; just below it, or
    below the smallest when n is too small, lies the limit.
    """
    ordered = np.sort(np.asarray(defects, dtype=np.float64))
    rank = max(1, math.floor((ordered.size + 1) * escape + 1e-9))
    return float(np.nextafter(ordered[rank - 1], -np.inf))


def highest(scores: NDArray[Any], parts: NDArray[Any]) -> NDArray[np.float64]:
    """The highest score of each part, from scores of its images."""
    _, place = np.unique(parts, return_inverse=True)
    found = np.full(place.max(initial=-1) + 1, -np.inf)
    np.maximum.at(found, place, scores)
    return found


def _promise(guarantee: str, alpha: float, images: int, unit: str) -> str:
    if images < images_needed(alpha):
        return (
            f"an overkill of {alpha:.2%} cannot be promised with {images} {unit} "
            f"({images_needed(alpha)} are needed); the smallest that can is "
            f"{smallest_rate(images):.2%}"
        )
    worst = worst_rate(images, alpha, guarantee)
    return (
        f"overkill {alpha:.2%} from {images} {unit} ({guarantee}: at most {worst:.2%} in the "
        "worst case), if the parts to come are like these"
    )


def clopper_pearson(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact bounds on a rate of ``count`` in ``n`` (Clopper and Pearson, 1934).

    Returns
    -------
    (float, float)
        ``(0.0, 1.0)`` where ``n`` is zero.
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is not a count")
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _solve(lambda p: _at_least(count, n, p) - tail)
    high = 1.0 if count == n else _solve(lambda p: tail - _at_most(count, n, p))
    return low, high


def upper_bound(count: int, n: int, confidence: float = 0.95) -> float:
    """One-sided exact upper bound on a rate: true with this confidence, 1.0 where n is zero."""
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is not a count")
    if count == n:
        return 1.0
    return _solve(lambda p: (1 - confidence) - _at_most(count, n, p))


def _at_most(count: int, n: int, p: float) -> float:
    """P(X <= count) for a binomial X, by summing logarithms (no scipy on the line's PC)."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if count >= n else 0.0
    k = np.arange(count + 1)
    steps = np.log(np.arange(n, n - count, -1)) - np.log(np.arange(1, count + 1))
    log_choose = np.concatenate([[0.0], np.cumsum(steps)])
    return float(min(1.0, np.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p)).sum()))


def _at_least(count: int, n: int, p: float) -> float:
    return 1.0 - _at_most(count - 1, n, p)


def _solve(rising: Any) -> float:
    """Root of a function that rises with p on (0, 1), by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
