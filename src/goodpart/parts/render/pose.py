"""Where a rendered part lies: position, size, turn and slant, as one affine map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from goodpart.parts.render.truth import Kind, PartTruth

Floats = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Weak-perspective pose of a flat part.

    Attributes
    ----------
    centre : (float, float)
        In pixels.
    radius : float
        Pixels per unit of part coordinates.
    angle : float
        Turn in the part's own plane, degrees, clockwise on the screen.
    tilt : float
        Slant of the part against the image plane in degrees; shortens it by cos(tilt).
    tilt_azimuth : float
        Direction in the image that is shortened, degrees.
    """

    centre: tuple[float, float]
    radius: float
    angle: float = 0.0
    tilt: float = 0.0
    tilt_azimuth: float = 0.0

    @cached_property
    def slant(self) -> Matrix:
        """The (2, 2) shortening along the tilt's azimuth."""
        azimuth = np.deg2rad(self.tilt_azimuth)
        along = np.array([np.cos(azimuth), np.sin(azimuth)])
        return np.eye(2) - (1 - np.cos(np.deg2rad(self.tilt))) * np.outer(along, along)

    @cached_property
    def linear(self) -> Matrix:
        """The (2, 2) part of the map from part coordinates to pixels."""
        turn = np.deg2rad(self.angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return self.radius * self.slant @ rotation

    def to_image(self, points: Matrix) -> Matrix:
        """Map (N, 2) part coordinates to (N, 2) pixels."""
        return points @ self.linear.T + np.asarray(self.centre)

    def grid(self, x0: int, y0: int, width: int, height: int) -> tuple[Floats, Floats]:
        """Part coordinates (u, v) of the pixel centres of a patch, two (height, width) float32."""
        inverse = np.linalg.inv(self.linear)
        x = np.arange(x0, x0 + width) - self.centre[0]
        y = (np.arange(y0, y0 + height) - self.centre[1])[:, None]
        u = (inverse[0, 0] * x).astype(np.float32) + (inverse[0, 1] * y).astype(np.float32)
        v = (inverse[1, 0] * x).astype(np.float32) + (inverse[1, 1] * y).astype(np.float32)
        return u, v

    def direction_in_part(self, azimuth: float) -> tuple[float, float]:
        """Turn a direction in the image (radians) into a unit vector of part coordinates."""
        turned = azimuth - np.deg2rad(self.angle)
        return float(np.cos(turned)), float(np.sin(turned))

    def truth(self, kind: Kind, label: str, severity: float | None) -> PartTruth:
        """State this pose as ground truth."""
        left, scale, _ = np.linalg.svd(self.linear)
        axes_angle = np.rad2deg(np.arctan2(left[1, 0], left[0, 0])) % 180.0
        homogeneous = np.eye(3)
        homogeneous[:2, :2] = self.linear
        homogeneous[:2, 2] = self.centre
        return PartTruth(
            kind=kind,
            label=label,
            severity=severity,
            centre=(float(self.centre[0]), float(self.centre[1])),
            radius=float(self.radius),
            axes=(float(scale[0]), float(scale[1])),
            axes_angle=float(axes_angle) % 180.0,
            angle=float((self.angle + 180.0) % 360.0 - 180.0),
            matrix=tuple((float(a), float(b), float(c)) for a, b, c in homogeneous),
        )
