"""Score maps: one way to resize them, one way to take a score from them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.area import area_means


def resize_map(score_map: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize a score map by bilinear interpolation.

    Parameters
    ----------
    score_map : ndarray of float32, (h, w)
    size : (int, int)
        Wanted (height, width).

    Returns
    -------
    ndarray of float32, (height, width)
    """
    height, width = size
    if score_map.shape == (height, width):
        return score_map
    resized = cv2.resize(score_map, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, dtype=np.float32)


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask so that a cell counts where at least half of its pixels do.

    Parameters
    ----------
    mask : ndarray of bool, (H, W)
    size : (int, int)
        Wanted (height, width).
    """
    if mask.shape == size:
        return mask
    return np.asarray(area_means(mask.view(np.uint8), size) >= 0.5 - 1e-9, dtype=np.bool_)


def score_of(raw_map: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> float:
    """The score of a part image: the highest value of its raw score map that counts.

    Detectors smooth their maps themselves, so a single noisy cell does not decide.

    Parameters
    ----------
    raw_map : ndarray of float32, (h, w)
        At the detector's own resolution.
    mask : ndarray of bool, (H, W), optional
        True where pixels count; resized to the map.

    Returns
    -------
    float
        NaN where any counted value is not finite or nothing counts: such a score never gets
        a verdict other than NOT_JUDGED.
    """
    values = raw_map
    if mask is not None:
        values = raw_map[resize_mask(mask, (raw_map.shape[0], raw_map.shape[1]))]
    if values.size == 0 or not np.isfinite(values).all():
        return float("nan")
    return float(values.max())
