"""The turn of a round part: its polar (unwrapped) picture against that of the good parts.

Turning the part shifts its polar picture along the angle, so one correlation over all angles
(by FFT) gives the turn (Reddy and Chatterji, 1996, use the same for whole images).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.ellipse import Frame

ANGLES = 360
RINGS = 32
# Angles (in steps) that are clearly different, and how much worse they must fit, typically.
_APART = 25
_ONE_ANGLE = 0.65
# Least correlation of what is turned; noise has none.
_ALIKE = 0.4


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


@dataclass(frozen=True)
class Turn:
    """By how much a part is turned against the reference.

    Parameters
    ----------
    angle : float
        Radians, in the direction from x to y.
    match : float
        Correlation at that angle, at most 1.
    second : float
        The highest correlation at any clearly different angle.
    """

    angle: float
    match: float
    second: float


def angle_between(polar: NDArray[np.float32], reference: NDArray[np.float32]) -> Turn:
    """The turn of a part from its polar picture and that of the good parts."""
    spectrum = np.fft.rfft(polar, axis=0) * np.conj(np.fft.rfft(reference, axis=0))
    likeness = np.fft.irfft(spectrum.sum(axis=1), n=len(polar))
    best = int(likeness.argmax())
    left, peak, right = likeness[best - 1], likeness[best], likeness[(best + 1) % len(polar)]
    bend = left - 2 * peak + right
    shift = 0.5 * (left - right) / bend if bend < -1e-12 else 0.0
    apart = np.abs((np.arange(ANGLES) - best + ANGLES // 2) % ANGLES - ANGLES // 2)
    return Turn(
        angle=float((best + shift) * 2 * np.pi / len(polar)),
        match=float(peak),
        second=float(likeness[apart > _APART].max()),
    )


def has_one_angle(polars: Sequence[NDArray[np.float32]]) -> bool:
    """Whether parts look like each other at one angle only.

    A part that repeats itself around the middle (vanes, a polished ring) fits nearly as well at
    other angles: turning it would be a guess, and a wrong one makes a good part look defective.
    One half of the parts is compared with what was learned from the other half.
    """
    if len(polars) < 4:
        return False
    reference = learn_reference(polars[::2])
    turns = [angle_between(polar, reference) for polar in polars[1::2]]
    alike = np.median([turn.match for turn in turns]) > _ALIKE
    return bool(alike and np.median([t.second / max(t.match, 1e-6) for t in turns]) < _ONE_ANGLE)


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
    likeness = [sum(angle_between(other, one).match for other in few) for one in few]
    reference = few[int(np.argmax(likeness))]
    for _ in range(rounds):
        turned_back = [
            np.roll(
                polar, -round(angle_between(polar, reference).angle * ANGLES / (2 * np.pi)), axis=0
            )
            for polar in polars
        ]
        mean = np.mean(turned_back, axis=0)
        reference = mean / (np.linalg.norm(mean) + 1e-6)
    return np.asarray(reference, dtype=np.float32)
