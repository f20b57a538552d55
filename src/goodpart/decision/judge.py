"""What turns a score map into a verdict: the limits, the level of regions, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Limits, Region, Verdict
from goodpart.decision.maps import resize_map, resize_mask, score_of
from goodpart.decision.regions import find_regions


@dataclass(frozen=True)
class Judgement:
    """Verdict, score and regions for one score map."""

    verdict: Verdict
    score: float
    regions: tuple[Region, ...]


def judge(
    raw_map: NDArray[np.float32],
    *,
    size: tuple[int, int],
    limits: Limits,
    level: float,
    mask: NDArray[np.bool_] | None = None,
    mm_per_pixel: float | None = None,
    score: float | None = None,
) -> Judgement:
    """Judge one part.

    Parameters
    ----------
    raw_map : ndarray of float32, (h, w)
        At the detector's own resolution.
    size : (int, int)
        Height and width of the part image.
    limits : Limits
    level : float
        Above it a pixel may belong to a region.
    mask : ndarray of bool, (H, W), optional
    mm_per_pixel : float, optional
    score : float, optional
        By default the highest value of the map that counts.

    Returns
    -------
    Judgement
        NOT_JUDGED, without regions, where the map is not finite.
    """
    score = score_of(raw_map, mask) if score is None else score
    verdict = limits.verdict(score)
    regions: tuple[Region, ...] = ()
    if verdict in (Verdict.NG, Verdict.CHECK):
        full = resize_map(raw_map, size)
        if mask is not None:
            full = np.where(mask, full, np.float32(-np.inf))
        # Bilinear interpolation can fall a little short of the raw map's peak, from which the
        # score was taken; without this margin an NG part could come without a region.
        peak = min(limits.ok, float(np.nextafter(full.max(), np.float32(-np.inf))))
        regions = find_regions(full, level=level, peak=peak, mm_per_pixel=mm_per_pixel)
    return Judgement(verdict, score, regions)


def region_level(
    maps: list[NDArray[np.float32]],
    mask: NDArray[np.bool_] | None = None,
    quantile: float = 0.995,
) -> float:
    """The level of regions: a quantile of the pixels of held-out good score maps.

    Parameters
    ----------
    maps : list of ndarray of float32, (h, w)
    mask : ndarray of bool, (H, W), optional
        True where pixels count.
    quantile : float
        0..1.
    """
    if mask is not None:
        small = resize_mask(mask, (maps[0].shape[0], maps[0].shape[1]))
        maps = [values[small] for values in maps]
    return float(np.quantile(np.concatenate([values.ravel() for values in maps]), quantile))
