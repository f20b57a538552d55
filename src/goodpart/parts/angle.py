"""The turn of a round part: its polar (unwrapped) picture against that of the good parts.

Turning the part shifts its polar picture along the angle, so one correlation over all angles
(by FFT) gives the turn (Reddy and Chatterji, 1996, use the same for whole images).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.ellipse import Frame

ANGLES = 360
RINGS = 32


def polar_of(grey: NDArray[Any], frame: Frame, reach: float) -> NDArray[np.float32]:
    """The polar picture around a frame, without what does not change with the angle.

    Parameters
    ----------
    grey : ndarray of uint8, (H, W)
    frame : ndarray, (2, 3)
        Unit circle to ``grey``.
    reach : float
        Outermost radius, in unit circles.

    Returns
    -------
    ndarray of float32, (ANGLES, RINGS)
        Each ring has zero mean; weighted by the root of its length; of unit norm.
    """
    radii = reach * (np.arange(RINGS) + 0.5) / RINGS
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    unit_x, unit_y = np.outer(np.cos(angles), radii), np.outer(np.sin(angles), radii)
    map_x = frame[0, 0] * unit_x + frame[0, 1] * unit_y + frame[0, 2]
    map_y = frame[1, 0] * unit_x + frame[1, 1] * unit_y + frame[1, 2]
    polar: Any = cv2.remap(
        cv2.GaussianBlur(grey, (0, 0), 1.5),
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    values = polar.astype(np.float32)
    values -= values.mean(axis=0)
    values *= np.sqrt(radii).astype(np.float32)
    return np.asarray(values / (np.linalg.norm(values) + 1e-6), dtype=np.float32)


def angle_between(
    polar: NDArray[np.float32], reference: NDArray[np.float32]
) -> tuple[float, float]:
    """Angle by which a part is turned against the reference, and the correlation there.

    Returns
    -------
    (angle, correlation)
        Radians, in the direction from x to y; correlation at most 1.
    """
    spectrum = np.fft.rfft(polar, axis=0) * np.conj(np.fft.rfft(reference, axis=0))
    likeness = np.fft.irfft(spectrum.sum(axis=1), n=len(polar))
    best = int(likeness.argmax())
    left, peak, right = likeness[best - 1], likeness[best], likeness[(best + 1) % len(polar)]
    bend = left - 2 * peak + right
    shift = 0.5 * (left - right) / bend if bend < -1e-12 else 0.0
    return float((best + shift) * 2 * np.pi / len(polar)), float(peak)


def turned(frame: Frame, angle: float) -> Frame:
    """A frame whose unit circle is turned first, so that the part image is."""
    c, s = np.cos(angle), np.sin(angle)
    return np.column_stack([frame[:, :2] @ np.array([[c, -s], [s, c]]), frame[:, 2]])


def learn_reference(polars: Sequence[NDArray[np.float32]], rounds: int = 4) -> NDArray[np.float32]:
    """The mean polar picture of parts brought to one angle.

    Starts from the part that is most like the others at any angle, then alternates between
    turning all parts to the mean and taking the mean.
    """
    few = polars[:: max(1, len(polars) // 12)]
    likeness = [sum(angle_between(other, one)[1] for other in few) for one in few]
    reference = few[int(np.argmax(likeness))]
    for _ in range(rounds):
        turned_back = [
            np.roll(
                polar, -round(angle_between(polar, reference)[0] * ANGLES / (2 * np.pi)), axis=0
            )
            for polar in polars
        ]
        mean = np.mean(turned_back, axis=0)
        reference = mean / (np.linalg.norm(mean) + 1e-6)
    return np.asarray(reference, dtype=np.float32)
