"""The polar (unwrapped) view of an aligned round part, and the way back for score maps.

In it a ring is a straight band, so what repeats around the part (vanes, a bead, printing) is
compared with itself.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_STEP = 16
# The view goes on beyond the full circle by this share at both ends, so that nothing is cut.
_WRAP = 1 / 16


class PolarView:
    """Unwraps part images of one size: angle across, radius down, the rim on top.

    Parameters
    ----------
    size : (int, int)
        Height and width of the part image; the middle is the axis, the shorter side the diameter.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._reach = min(size) / 2
        rows = max(_STEP, round(self._reach / _STEP) * _STEP)
        # As many columns as the ring at three quarters of the radius is long.
        turn = max(4 * _STEP, round(2 * np.pi * 0.75 * self._reach / _STEP) * _STEP)
        self._wrap = max(_STEP, round(_WRAP * turn / _STEP) * _STEP)
        self._turn = turn
        self.shape = (rows, turn + 2 * self._wrap)

    def unwrap(self, image: NDArray[Any]) -> NDArray[Any]:
        """The polar view of a part image (or of a mask, as uint8)."""
        rows, columns = self.shape
        radius = self._reach * (1 - (np.arange(rows) + 0.5) / rows)
        angle = (np.arange(columns) + 0.5 - self._wrap) * (2 * np.pi / self._turn)
        x = np.outer(radius, np.cos(angle)) + (self._size[1] - 1) / 2
        y = np.outer(radius, np.sin(angle)) + (self._size[0] - 1) / 2
        view: Any = cv2.remap(
            image,
            x.astype(np.float32),
            y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(view)

    def wrap(self, raw_map: NDArray[np.float32]) -> NDArray[np.float32]:
        """A score map of the polar view as one of the part image; 0 beyond the circle.

        Parameters
        ----------
        raw_map : ndarray of float32, (h, w)
            At the detector's own resolution.

        Returns
        -------
        ndarray of float32
            At about that resolution.
        """
        scale = raw_map.shape[0] / self.shape[0]
        height, width = (max(1, round(side * scale)) for side in self._size)
        down, across = height / self._size[0], width / self._size[1]
        y, x = np.mgrid[:height, :width]
        y = (y + 0.5) / down - self._size[0] / 2
        x = (x + 0.5) / across - self._size[1] / 2
        radius, angle = np.hypot(x, y), np.arctan2(y, x) % (2 * np.pi)
        row = (1 - radius / self._reach) * raw_map.shape[0] - 0.5
        column = angle * self._turn / (2 * np.pi) + self._wrap
        column = column * raw_map.shape[1] / self.shape[1] - 0.5
        back: Any = cv2.remap(
            raw_map,
            column.astype(np.float32),
            row.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        back[radius > self._reach] = 0
        return np.asarray(back, dtype=np.float32)
