"""From a score map to defect regions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Region


def find_regions(
    score_map: NDArray[np.float32],
    *,
    level: float,
    peak: float,
    mask: NDArray[np.bool_] | None = None,
    smallest_area: int = 1,
    mm_per_pixel: float | None = None,
    most: int = 100,
) -> tuple[Region, ...]:
    """Connected areas above ``level`` that somewhere exceed ``peak`` (hysteresis, Canny 1986).

    The lower level gives a defect its extent, the upper one decides whether it is one: a good
    part, whose values stay below the limit, has no regions.

    Parameters
    ----------
    score_map : ndarray of float32, (H, W)
    level : float
        Learned from good images; lowered to ``peak`` where it lies above.
    peak : float
        The limit on the score.
    mask : ndarray of bool, (H, W), optional
        True where pixels count.
    smallest_area : int
        In pixels; smaller areas are left out unless nothing else remains.
    mm_per_pixel : float, optional
        Gives areas in mm².
    most : int
        Keep no more than this many, highest peaks first.

    Returns
    -------
    tuple of Region
        Highest peak first.
    """
    values = score_map if mask is None else np.where(mask, score_map, -np.inf)
    above = (values > min(level, peak)).astype(np.uint8)
    if not above.any() or not (values > peak).any():
        return ()
    # Labelling takes longer than all the rest, and defects are small: only their box is labelled.
    left, top, across, down = cv2.boundingRect(above)
    crop = np.s_[top : top + down, left : left + across]
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(above[crop], connectivity=8)
    found = []
    for label in range(1, count):
        x, y, width, height, area = (int(v) for v in boxes[label])
        window = labels[y : y + height, x : x + width] == label
        x, y = x + left, y + top
        inside = values[y : y + height, x : x + width][window]
        if inside.max() <= peak:
            continue
        contours, _ = cv2.findContours(
            window.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y)
        )
        outline = max(contours, key=len).reshape(-1, 2)
        found.append(
            Region(
                x=x,
                y=y,
                width=width,
                height=height,
                area=area,
                peak=float(inside.max()),
                mean=float(inside.mean()),
                contour=tuple(map(tuple, outline.tolist())),
                area_mm2=None if mm_per_pixel is None else area * mm_per_pixel**2,
            )
        )
    found.sort(key=lambda region: -region.peak)
    large = [region for region in found if region.area >= smallest_area]
    return tuple((large or found[:1])[:most])
