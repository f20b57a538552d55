"""Fixed boxes on a tray: is there a part in it, and is it whole."""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from goodpart.recipe import TrayBox

# A box is looked at on about this many pixels a side.
_SAMPLES = 96
# Less of a box inside the image than this is an empty pocket.
_LEAST_INSIDE = 0.25
# A box whose brightness varies less than this share of the usual is empty.
_LEAST_VARIATION = 0.25
# The same in grey levels, where nothing was learned: above what noise and plastic show.
_LEAST_LEVELS = 12.0
# A part is cut off where this share of the border that runs through its box shows it.
_LEAST_BORDER = 0.08


class BoxContent(Enum):
    """What a box holds."""

    PART = "part"
    EMPTY = "empty"
    CUT_OFF = "cut off"


def look_into(grey: NDArray[np.uint8], box: TrayBox, contrast: float | None) -> BoxContent:
    """What lies in a box of a tray image.

    Parameters
    ----------
    grey : ndarray of uint8, (H, W)
    box : TrayBox
        May reach beyond the image.
    contrast : float or None
        Usual difference between the bright and the dark of a box with a part, see
        :func:`variation`.
    """
    height, width = grey.shape
    x0, x1 = max(box.x, 0), min(box.x + box.width, width)
    y0, y1 = max(box.y, 0), min(box.y + box.height, height)
    if x1 <= x0 or y1 <= y0:
        return BoxContent.EMPTY
    if (x1 - x0) * (y1 - y0) < _LEAST_INSIDE * box.width * box.height:
        return BoxContent.EMPTY
    window = grey[y0:y1, x0:x1]
    least = _LEAST_LEVELS if contrast is None else _LEAST_VARIATION * contrast
    low, high = levels_of(window)
    if high - low < least:
        return BoxContent.EMPTY
    if _reaches_border(grey, box, low, high):
        return BoxContent.CUT_OFF
    return BoxContent.PART


def levels_of(window: NDArray[np.uint8]) -> tuple[float, float]:
    """The dark and the bright of a window, leaving dust and glints out."""
    step = max(1, max(window.shape) // _SAMPLES)
    low, high = np.quantile(window[::step, ::step], (0.04, 0.96))
    return float(low), float(high)


def variation(grey: NDArray[np.uint8], box: TrayBox) -> float:
    """Difference between the bright and the dark of a box, grey levels; 0 outside the image."""
    x0, y0 = max(box.x, 0), max(box.y, 0)
    window = grey[y0 : max(box.y + box.height, 0), x0 : max(box.x + box.width, 0)]
    if window.size == 0:
        return 0.0
    low, high = levels_of(window)
    return high - low


def _reaches_border(grey: NDArray[np.uint8], box: TrayBox, low: float, high: float) -> bool:
    """Whether the part runs over a border of the image that its box crosses."""
    height, width = grey.shape
    x0, x1 = max(box.x, 0), min(box.x + box.width, width)
    y0, y1 = max(box.y, 0), min(box.y + box.height, height)
    lines = []
    if box.x < 0:
        lines.append(grey[y0:y1, 0])
    if box.x + box.width > width:
        lines.append(grey[y0:y1, width - 1])
    if box.y < 0:
        lines.append(grey[0, x0:x1])
    if box.y + box.height > height:
        lines.append(grey[height - 1, x0:x1])
    if not lines:
        return False
    middle = (low + high) / 2
    # The part is what lies in the middle of the box.
    core = _core(grey, box)
    bright = core.size == 0 or float(np.median(core)) > middle
    return any(
        float(np.mean(line > middle if bright else line < middle)) > _LEAST_BORDER for line in lines
    )


def _core(grey: NDArray[np.uint8], box: TrayBox) -> NDArray[np.uint8]:
    """The middle half of a box, as far as the image shows it."""
    top, left = box.y + box.height // 4, box.x + box.width // 4
    bottom, right = top + box.height // 2, left + box.width // 2
    return grey[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
