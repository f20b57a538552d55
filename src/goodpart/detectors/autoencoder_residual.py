"""From what a network restored to a score map: residuals in units of what good parts show.

A residual alone says little: edges restore worse than flat areas on every good part. So a pixel
counts by how far it lies outside the range of its restored neighbourhood (the tolerance of a
variation model), and that is compared with its mean and deviation at the same place over good
parts that the network did not learn from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Sigmas in network pixels at which image and restored image are compared.
SCALES = (1.0, 2.0)
# Side of the neighbourhood whose range a pixel may lie in: edges may be off by two pixels.
TOLERANCE = 5
# Statistics are smoothed over this many pixels: a few dozen images say little about one pixel.
SMOOTHING = 3.0
# Added to every deviation, as a share of the median one: still places do not count every noise.
FLOOR = 0.3
# Sigma of the blur of the score map, so that a single pixel does not decide.
FINAL = 1.0


def features(image: Floats, restored: Floats) -> Floats:
    """How far each pixel lies outside the restored image's range around it.

    Parameters
    ----------
    image, restored : ndarray of float32, (C, H, W)
        The normalised input and what the network made of it.

    Returns
    -------
    ndarray of float32, (len(SCALES), H, W)
        Not negative; the mean over channels.
    """
    window = np.ones((TOLERANCE, TOLERANCE), dtype=np.uint8)
    stack = np.zeros((len(SCALES), *image.shape[1:]), dtype=np.float32)
    for scale, sigma in enumerate(SCALES):
        for channel, expected in zip(image, restored, strict=True):
            shown, wanted = _blur(channel, sigma), _blur(expected, sigma)
            above = shown - cv2.dilate(wanted, window)
            below = cv2.erode(wanted, window) - shown
            stack[scale] += np.maximum(np.maximum(above, below), 0)
    return np.asarray(stack / len(image), dtype=np.float32)


@dataclass
class Moments:
    """Sums over feature stacks, from which one stack can be taken out again.

    Parameters
    ----------
    count : int
    total, squares : ndarray of float64, (F, H, W)
    """

    count: int
    total: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> Moments:
        """Of no stack yet."""
        return cls(0, np.zeros(shape), np.zeros(shape))

    def add(self, stack: Floats) -> None:
        """Count one more."""
        self.count += 1
        self.total += stack
        self.squares += np.square(stack, dtype=np.float64)

    def without(self, stack: Floats) -> Moments:
        """As if this one had not been counted."""
        squares = self.squares - np.square(stack, dtype=np.float64)
        return Moments(self.count - 1, self.total - stack, squares)

    def normal(self, *, turns: bool) -> Normal:
        """What good parts show.

        Parameters
        ----------
        turns : bool
            The parts lie in any orientation: each also counts turned and mirrored, which makes
            eight of one.

        Raises
        ------
        ValueError
            There is no stack.
        """
        if self.count < 1:
            raise ValueError("no residuals to take statistics from")
        mean, square = self.total / self.count, self.squares / self.count
        if turns:
            mean, square = _turned_mean(mean), _turned_mean(square)
        variance = np.maximum(square - mean**2, 0.0)
        mean = np.stack([_blur(channel, SMOOTHING) for channel in mean])
        deviation = np.sqrt(np.stack([_blur(channel, SMOOTHING) for channel in variance]))
        floor = FLOOR * np.median(deviation.reshape(len(deviation), -1), axis=1)
        # Images without any residual at all (flat ones) would divide by zero.
        deviation += np.maximum(floor, 1e-3)[:, None, None]
        return Normal(mean.astype(np.float32), deviation.astype(np.float32))


@dataclass(frozen=True)
class Normal:
    """Mean and deviation of the features at each place.

    Parameters
    ----------
    mean, deviation : ndarray of float32, (F, H, W)
    """

    mean: Floats
    deviation: Floats

    def score_map(self, stack: Floats) -> Floats:
        """Deviation from normal, averaged over the features: float32 (H, W)."""
        deviation = ((stack - self.mean) / self.deviation).mean(axis=0)
        return np.asarray(_blur(deviation, FINAL), dtype=np.float32)


def _turned_mean(stack: NDArray[Any]) -> NDArray[Any]:
    """Mean over the four quarter turns and their mirror images."""
    turned = [np.rot90(stack, turn, axes=(1, 2)) for turn in range(4)]
    mean = np.mean(turned, axis=0)
    return np.asarray((mean + mean[:, :, ::-1]) / 2)


def _blur(channel: Any, sigma: float) -> Any:
    return cv2.GaussianBlur(channel, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
