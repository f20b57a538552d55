"""Ellipses in an image: candidates from level sets, then a robust sub-pixel fit to one edge.

A round part seen at a slant, or in a stretched image, shows its rings as ellipses. A *frame* here
is the 2x3 affine map of the unit circle to the image whose linear part is symmetric: the ellipse
without any turn of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.medians import median_of

Frame = NDArray[np.float64]

_LEVELS = 8
# An outline is fitted on no more points than this.
_POINTS = 80
_LEAST_POINTS = 24
# Squared radii, in ellipses, between which a point lies on it.
_NEAR = (0.94**2, 1.06**2)
_RAYS = 96
_STEPS = 40
# Half widths of the search around the ellipse, in radii, one for each refinement.
_REACHES = (0.12, 0.05)


@dataclass(frozen=True)
class Candidate:
    """A closed outline that looks like an ellipse.

    Parameters
    ----------
    frame : ndarray of float64, (2, 3)
        Unit circle to image.
    bright : bool
        Whether it is brighter inside than outside.
    """

    frame: Frame
    bright: bool

    @property
    def radius(self) -> float:
        """Radius of the circle of equal area, in pixels."""
        return frame_radius(self.frame)


def frame_radius(frame: Frame) -> float:
    """Radius in pixels of the circle that has the ellipse's area."""
    return float(np.sqrt(abs(np.linalg.det(frame[:, :2]))))


def frame_of(cx: float, cy: float, a: float, b: float, theta: float) -> Frame:
    """The frame of an ellipse with semi-axes ``a`` (at angle ``theta`` to x) and ``b``."""
    c, s = np.cos(theta), np.sin(theta)
    turn = np.array([[c, -s], [s, c]])
    linear = turn @ np.diag([a, b]) @ turn.T
    return np.column_stack([linear, [cx, cy]])


def untwisted(frame: Frame) -> Frame:
    """The same ellipse with a symmetric linear part (the rotation of its polar decomposition
    taken out)."""
    left, axes, _ = np.linalg.svd(frame[:, :2])
    return np.column_stack([left @ np.diag(axes) @ left.T, frame[:, 2]])


def rescaled(frame: Frame, factor: float) -> Frame:
    """A frame carried over to the image resized by ``factor`` (pixel centres at integers)."""
    moved = frame * factor
    moved[:, 2] += (factor - 1) / 2
    return moved


def find_ellipses(grey: NDArray[np.uint8], *, smallest: float = 0.1) -> list[Candidate]:
    """Closed outlines of level sets that are nearly ellipses.

    Parameters
    ----------
    grey : ndarray of uint8, (H, W)
        Small: about 128 pixels.
    smallest : float
        Least diameter, as a share of the shorter side.

    Returns
    -------
    list of Candidate
        Similar ones merged, best outlined first.
    """
    low, high = np.quantile(grey, (0.02, 0.98))
    if high - low < 4:
        return []
    found: list[tuple[float, Candidate]] = []
    least = max(_LEAST_POINTS, 2 * smallest * min(grey.shape))
    for level in np.linspace(low, high, _LEVELS + 2)[1:-1]:
        _, binary = cv2.threshold(grey, float(level), 1, cv2.THRESH_BINARY)
        outlines, tree = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        if tree is None:
            continue
        for outline, node in zip(outlines, tree[0], strict=True):
            # A convex outline has about as many pixels as its box has on two sides.
            if len(outline) < least:
                continue
            fitted = _fit(outline[:, 0, :], (grey.shape[0], grey.shape[1]), smallest)
            if fitted is not None:
                # OpenCV walks along the pixels of the bright side: half a pixel too far out for
                # holes, too far in for blobs; the refinement takes that out.
                found.append((fitted[0], Candidate(fitted[1], bright=bool(node[3] == -1))))
    found.sort(key=lambda pair: -pair[0])
    kept: list[Candidate] = []
    for _, candidate in found:
        if not any(_alike(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _fit(
    outline: NDArray[Any], shape: tuple[int, int], smallest: float
) -> tuple[float, Frame] | None:
    """Share of the outline on its ellipse, and the ellipse's frame; None where it is none."""
    height, width = shape
    left, top, across, down = cv2.boundingRect(outline)
    if min(across, down) < smallest * min(height, width):
        return None
    points = outline
    if left < 2 or top < 2 or left + across > width - 2 or top + down > height - 2:
        # What runs along the image's border is no outline of anything.
        x, y = outline[:, 0], outline[:, 1]
        points = outline[(x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)]
        if len(points) < _LEAST_POINTS or len(points) < 0.6 * len(outline):
            return None
        if np.ptp(points, axis=0).min() < smallest * min(height, width):
            return None
    points = points[:: 1 + len(points) // _POINTS].astype(np.float32)
    (cx, cy), (first, second), degrees = cv2.fitEllipseDirect(points)
    # False for what is not a number, too.
    if not (min(first, second) >= 8 and max(first, second) <= 2 * max(height, width)):
        return None
    theta = float(np.deg2rad(degrees))
    c, s = np.cos(theta), np.sin(theta)
    x, y = points[:, 0] - cx, points[:, 1] - cy
    squared = ((c * x + s * y) * (2 / first)) ** 2 + ((c * y - s * x) * (2 / second)) ** 2
    near = (squared > _NEAR[0]) & (squared < _NEAR[1])
    share = np.count_nonzero(near) / len(points)
    return (share, frame_of(cx, cy, first / 2, second / 2, theta)) if share >= 0.5 else None


def _alike(first: Candidate, second: Candidate) -> bool:
    """Whether two ellipses lie within 4 % of their radius everywhere."""
    if first.bright != second.bright:
        return False
    return bool(np.abs(first.frame - second.frame).max() < 0.04 * second.radius)


def refine(
    grey: NDArray[Any], start: Candidate, *, circle: bool = False
) -> tuple[Frame, float] | None:
    """Fit an ellipse to the edge near a candidate, sub-pixel and robust.

    Brightness is sampled along rays in the candidate's frame, where the edge is nearly a circle
    and its deviation nearly linear in the five parameters; Tukey's biweight keeps burrs, chips
    and stains from moving the fit.

    Parameters
    ----------
    grey : ndarray of uint8 or float32, (H, W)
    start : Candidate
        In this image's pixels.
    circle : bool
        Fit centre and radius only.

    Returns
    -------
    (frame, support) or None
        ``support`` is the share of rays whose edge lies on the ellipse; None where the fit runs
        away.
    """
    frame = start.frame
    if circle:
        radius = start.radius
        frame = np.column_stack([np.eye(2) * radius, frame[:, 2]])
    support = 0.0
    for reach in _REACHES:
        step = _step(grey, frame, start.bright, reach, circle)
        if step is None:
            return None
        frame, support = step
    ratio = frame_radius(frame) / start.radius
    moved = np.abs(frame[:, 2] - start.frame[:, 2]).max() / start.radius
    if not 0.75 < ratio < 1.33 or moved > 0.25:
        return None
    return untwisted(frame), support


_ANGLES = np.arange(_RAYS) * (2 * np.pi / _RAYS)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)
_ROWS = np.arange(_RAYS)
_DESIGN = np.column_stack([_COS, _SIN, np.ones(_RAYS), np.cos(2 * _ANGLES), np.sin(2 * _ANGLES)])


def _step(
    grey: NDArray[Any], frame: Frame, bright: bool, reach: float, circle: bool
) -> tuple[Frame, float] | None:
    radii = 1 + np.linspace(-reach, reach, _STEPS)
    unit_x, unit_y = np.outer(_COS, radii), np.outer(_SIN, radii)
    map_x = frame[0, 0] * unit_x + frame[0, 1] * unit_y + frame[0, 2]
    map_y = frame[1, 0] * unit_x + frame[1, 1] * unit_y + frame[1, 2]
    polar: Any = cv2.remap(
        grey,
        map_x.astype(np.float32),
        map_y.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    polar = cv2.GaussianBlur(polar.astype(np.float32), (0, 0), sigmaX=1.5, sigmaY=1.0)
    slope = polar[:, 2:] - polar[:, :-2]
    if bright:
        slope = -slope
    # The ends of a ray: where both lie in the image, all of it does.
    ends_x, ends_y = map_x[:, [0, -1]], map_y[:, [0, -1]]
    inside = (
        (ends_x >= 0)
        & (ends_y >= 0)
        & (ends_x <= grey.shape[1] - 1)
        & (ends_y <= grey.shape[0] - 1)
    ).all(axis=1)
    best = slope[:, 1:-1].argmax(axis=1) + 1
    left, peak, right = (slope[_ROWS, best + side] for side in (-1, 0, 1))
    bend = np.minimum(left - 2 * peak + right, -1e-9)
    # The vertex of the parabola through the peak and its neighbours (one column was cut off).
    place = best + 1 + np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    spacing = 2 * reach / (_STEPS - 1)
    offsets = place * spacing - reach
    valid = inside & (peak > 0)
    if valid.sum() < _RAYS // 3:
        return None
    design = _DESIGN[:, :3] if circle else _DESIGN
    strength = np.where(valid, peak, 0.0)
    weights = np.minimum(strength / (median_of(strength[valid]) + 1e-9), 1.0)
    solved = _robust(design, offsets, weights)
    residual = np.abs(offsets - design @ solved)
    support = float(np.mean((residual < max(0.015, spacing)) & valid))
    u, v, s = solved[:3]
    p, q = (0.0, 0.0) if circle else (solved[3], solved[4])
    update = np.array([[1 + s + p, q, u], [q, 1 + s - p, v], [0, 0, 1]])
    return np.asarray(frame @ update, dtype=np.float64), support


def _robust(
    design: NDArray[np.float64], values: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares with Tukey's biweight (Beaton and Tukey, 1974), started from the median."""
    used = weights > 0
    solved = np.zeros(design.shape[1])
    solved[2] = median_of(values[used])
    for _ in range(5):
        residual = values - design @ solved
        scale = 1.4826 * median_of(np.abs(residual[used])) + 1e-4
        ratio = np.minimum(np.square(residual / (4.685 * scale)), 1.0)
        w = weights * np.square(1 - ratio)
        normal = design.T @ (design * w[:, None])
        normal.flat[:: len(solved) + 1] += 1e-6 * (w.sum() + 1e-6)
        solved = np.linalg.solve(normal, design.T @ (w * values))
    return solved
