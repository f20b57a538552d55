"""Edge points of an example part, and the fit of a similarity to them.

The fit is an iterated closest point method on edges: from every point of the example the image is
searched along the point's normal for the strongest edge of the same direction, and shift, turn and
size are solved for all points together (Chen and Medioni, 1992, point to line), robustly. Edges of
a circle say nothing of its turn and cannot disturb it: a notch alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.parts.medians import median_of
from goodpart.parts.search import Shape

# Edges weaker than this share of the strong ones are left out.
_LEAST_EDGE = 0.25
_MOST_POINTS = 240
# Half widths of the search along normals, in units of the part's reach, and its least, in pixels.
_REACHES = (0.08, 0.04, 0.02)
_LEAST_REACH = 2.5
_STEP = 0.5
# Least standard deviation that the robust fit reckons with, share of the search's half width.
_SPREAD = 0.1
# An edge within this distance of where it belongs counts as found: share of reach, and pixels.
_NEAR, _NEAR_PIXELS = 0.012, 0.75
# How much farther off edges may lie after one step.
_ROUGH = 2.0
# Edges on the part itself move with the light; those of its outline stay.
_INNER_WEIGHT = 0.3
# The look of a part is compared within this share of its outline, this many places across.
_INNER_SHARE = 0.8
_GRID = 28
# A found edge is at least this strong, of what the example and the light let expect.
_LEAST_RATIO = 0.35


@dataclass(frozen=True)
class Example:
    """What is searched for.

    Parameters
    ----------
    shape : Shape
    strength : ndarray of float64, (n,)
        How strong the edge is at each point, grey levels per pixel.
    turning : ndarray of float64, (n,)
        How much each point says of the turn, 0..1: edges around the centre say nothing.
    outer : ndarray of bool, (n,)
        Points of the outline: even a part that lies upside down shows those.
    places : ndarray of float64, (m, 2)
        A grid of places on the part, relative to its centre.
    look : ndarray of float32, (m,)
        Brightness there, with zero mean and unit norm.
    """

    shape: Shape
    strength: NDArray[np.float64]
    turning: NDArray[np.float64]
    outer: NDArray[np.bool_]
    places: NDArray[np.float64]
    look: NDArray[np.float32]


def example_of(grey: NDArray[Any]) -> Example | None:
    """The edge points of an image that shows one part.

    Parameters
    ----------
    grey : ndarray of uint8, (h, w)
        About 200 pixels across; the part fills most of it.

    Returns
    -------
    Example or None
        Relative to the middle of the image; ``None`` where it shows no edges.
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.2)
    gx = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1 / 32)
    gy = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1 / 32)
    length = np.hypot(gx, gy)
    least = max(_LEAST_EDGE * float(np.quantile(length, 0.99)), 0.5)
    height, width = grey.shape
    rows, columns = np.nonzero(length > least)
    inside = (rows > 1) & (columns > 1) & (rows < height - 2) & (columns < width - 2)
    rows, columns = rows[inside], columns[inside]
    if len(rows) < 12:
        return None
    nx = gx[rows, columns] / length[rows, columns]
    ny = gy[rows, columns] / length[rows, columns]
    before, here, after = (
        _at(length, columns + side * nx, rows + side * ny) for side in (-1.0, 0.0, 1.0)
    )
    crest = (here >= before) & (here > after)
    bend = np.minimum(before - 2 * here + after, -1e-6)
    offset = np.clip(0.5 * (before - after) / bend, -0.7, 0.7)[crest]
    normals = np.column_stack([nx, ny])[crest].astype(np.float64)
    points = np.column_stack([columns, rows])[crest] + offset[:, None] * normals
    strength = here[crest]
    if len(points) < 12:
        return None
    chosen = _thinned(points, strength)
    points, normals, strength = points[chosen], normals[chosen], strength[chosen]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    points = points - middle
    reach = float(np.quantile(np.linalg.norm(points, axis=1), 0.98))
    turned = points @ np.stack([_CIRCLE[:, 0], _CIRCLE[:, 1]])
    extents = np.quantile(turned, 0.98, axis=0) - np.quantile(turned, 0.02, axis=0)
    lever = (points[:, 0] * normals[:, 1] - points[:, 1] * normals[:, 0]) / reach
    shape = Shape(points, normals, reach, float(extents.min()))
    places = _grid_within(points)
    look = _normalised(_at(smooth, *(places + middle).T))
    turning = np.minimum(np.square(lever), 1.0)
    return Example(shape, strength, turning, _outermost(points, reach), places, look)


def _grid_within(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A grid over the convex hull of points, without its rim, which shines where the light is."""
    points = _INNER_SHARE * points
    hull: Any = cv2.convexHull(points.astype(np.float32))
    low, high = points.min(axis=0), points.max(axis=0)
    step = float(max(high - low)) / _GRID
    xs, ys = np.arange(low[0], high[0], step), np.arange(low[1], high[1], step)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    inside = [cv2.pointPolygonTest(hull, (float(x), float(y)), False) > 0 for x, y in grid]
    return np.asarray(grid[np.array(inside)], dtype=np.float64)


def _normalised(values: NDArray[Any]) -> NDArray[np.float32]:
    moved = values - values.mean()
    return np.asarray(moved / (np.linalg.norm(moved) + 1e-6), dtype=np.float32)


def likeness(grey: NDArray[Any], example: Example, pose: Pose) -> float:
    """Correlation of the part's brightness with the example's, -1..1."""
    places = pose.place(example.places)
    seen = _at(grey, places.real, places.imag)
    return float(_normalised(seen) @ example.look)


def _outermost(points: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
    """Points beyond which nothing lies in their direction."""
    radii = np.linalg.norm(points, axis=1)
    angles = np.arctan2(points[:, 1], points[:, 0])
    apart = np.abs(np.angle(np.exp(1j * (angles[:, None] - angles))))
    beyond = radii > radii[:, None] + 0.05 * reach
    return np.asarray(~(beyond & (apart < np.deg2rad(1.0))).any(axis=1))


_TURNS = np.linspace(0, np.pi, 36, endpoint=False)
_CIRCLE = np.column_stack([np.cos(_TURNS), np.sin(_TURNS)])


def _at(image: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    seen: Any = cv2.remap(
        image, x.astype(np.float32)[None], y.astype(np.float32)[None], cv2.INTER_LINEAR
    )
    return np.asarray(seen[0], dtype=np.float64)


def _thinned(points: NDArray[np.float64], strength: NDArray[Any]) -> NDArray[np.intp]:
    """Evenly spread points, the strongest of each neighbourhood, at most ``_MOST_POINTS``."""
    spacing = 1.0
    while True:
        cells = np.floor(points / spacing).astype(np.int64)
        _, groups = np.unique(cells, axis=0, return_inverse=True)
        order = np.lexsort((-strength, groups.ravel()))
        first = np.unique(groups.ravel()[order], return_index=True)[1]
        if len(first) <= _MOST_POINTS:
            return order[first]
        spacing *= 1.2


@dataclass(frozen=True)
class Pose:
    """Where an example lies in an image: turned and enlarged by ``factor``, moved by ``centre``.

    Parameters
    ----------
    factor : complex
        Its length enlarges, its argument turns (x towards y).
    centre : complex
        x + i y, pixels.
    """

    factor: complex
    centre: complex

    @property
    def scale(self) -> float:
        """Enlargement."""
        return abs(self.factor)

    @property
    def angle(self) -> float:
        """Turn in radians."""
        return float(np.angle(self.factor))

    def place(self, points: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Points of the example in the image, x + i y."""
        return (points[:, 0] + 1j * points[:, 1]) * self.factor + self.centre


@dataclass(frozen=True)
class Fit:
    """A pose and how much of the example was found there.

    Parameters
    ----------
    pose : Pose
    support : float
        Share of the visible points whose edge lies where it belongs; clear edges count more.
    outer_support : float
        The same of the outline's points alone.
    turn_support : float
        The same, weighted by what the points say of the turn.
    visible : float
        Share of the points inside the image.
    light : float
        How strong edges are, 1 as in the example.
    """

    pose: Pose
    support: float
    outer_support: float
    turn_support: float
    visible: float
    light: float


def rough_fit(grey: NDArray[Any], example: Example, start: Pose) -> Fit:
    """A wide step from ``start``: enough for the centre and for whether to go on.

    Parameters and return value as for :func:`fit_pose`; edges may lie farther off.
    """
    height, width = grey.shape
    x, y = start.centre.real, start.centre.imag
    to_border = min(x, y, width - 1 - x, height - 1 - y)
    pose = start
    if to_border < example.shape.reach * start.scale:
        # Half of a part is found less exactly than a whole one.
        pose = _stepped(grey, example, pose, 2 * _REACHES[0])
    pose = _stepped(grey, example, pose, _REACHES[0])
    seen = _edges_along_normals(grey, example, pose, _reach(example, pose, _REACHES[1]))
    return _judged(seen, example, pose, leeway=_ROUGH)


def fit_pose(grey: NDArray[Any], example: Example, start: Pose) -> Fit:
    """Refine a pose until the example's edges lie on the image's.

    Parameters
    ----------
    grey : ndarray of uint8 or float32, (h, w)
    example : Example
    start : Pose
    """
    pose = start
    for share in _REACHES:
        pose = _stepped(grey, example, pose, share)
    reach = _reach(example, pose, _REACHES[-1])
    return _judged(_edges_along_normals(grey, example, pose, reach), example, pose)


def _reach(example: Example, pose: Pose, share: float) -> float:
    return max(share * example.shape.reach * pose.scale, _LEAST_REACH)


def _stepped(grey: NDArray[Any], example: Example, pose: Pose, share: float) -> Pose:
    reach = _reach(example, pose, share)
    seen = _edges_along_normals(grey, example, pose, reach)
    return _solved(pose, example, seen, reach)


def _judged(seen: _Seen, example: Example, pose: Pose, *, leeway: float = 1.0) -> Fit:
    visible = float(seen.inside.mean())
    if not seen.inside.any():
        return Fit(pose, 0.0, 0.0, 0.0, 0.0, 0.0)
    ratio = seen.strength / example.strength
    # What lies upside down or was turned in the light misses many of its inner edges.
    light = float(np.quantile(ratio[seen.inside], 0.7))
    reach = example.shape.reach * pose.scale
    near = np.abs(seen.offsets) <= leeway * (_NEAR * reach + _NEAR_PIXELS)
    found = near & seen.inside & (ratio > _LEAST_RATIO * light)
    clear = np.minimum(example.strength / np.median(example.strength[example.outer]), 1.0)

    def share(weights: NDArray[Any]) -> float:
        total = float(weights[seen.inside].sum())
        return float(weights[found].sum()) / total if total > 0 else 1.0

    return Fit(
        pose,
        support=share(clear),
        outer_support=share(clear * example.outer),
        turn_support=share(clear * example.turning),
        visible=visible,
        light=light,
    )


@dataclass(frozen=True)
class _Seen:
    """Edges along the normals of a posed shape."""

    normals: NDArray[np.complex128]
    offsets: NDArray[np.float64]
    strength: NDArray[np.float64]
    inside: NDArray[np.bool_]


def _edges_along_normals(grey: NDArray[Any], example: Example, pose: Pose, reach: float) -> _Seen:
    shape = example.shape
    places = pose.place(shape.points)
    normals = (shape.normals[:, 0] + 1j * shape.normals[:, 1]) * (pose.factor / pose.scale)
    half = int(np.ceil(reach / _STEP)) + 1
    steps = np.arange(-half, half + 1) * _STEP
    along = places[:, None] + normals[:, None] * steps
    lines: Any = cv2.remap(
        grey,
        along.real.astype(np.float32),
        along.imag.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    lines = cv2.GaussianBlur(lines.astype(np.float32), (5, 1), 1.2)
    slope = lines[:, 2:] - lines[:, :-2]
    steps = steps[1:-1]
    # Where two edges compete the nearer one wins, unless it is much weaker.
    judged = slope * (1 - 0.6 * np.square(steps / (half * _STEP))).astype(np.float32)
    best = judged[:, 1:-1].argmax(axis=1) + 1
    rows = np.arange(len(slope))
    left, peak, right = (slope[rows, best + side].astype(np.float64) for side in (-1, 0, 1))
    bend = np.minimum(left - 2 * peak + right, -1e-9)
    offsets = steps[best] + np.clip(0.5 * (left - right) / bend, -0.5, 0.5) * _STEP
    height, width = grey.shape
    inside = (
        (places.real >= 0)
        & (places.imag >= 0)
        & (places.real <= width - 1)
        & (places.imag <= height - 1)
    )
    return _Seen(normals, offsets, peak / (2 * _STEP), inside)


def _solved(pose: Pose, example: Example, seen: _Seen, reach: float) -> Pose:
    """The pose after one weighted least squares step, Tukey's biweight on the residuals.

    What counts as an outlier narrows with ``reach``: a notch that is not in its place yet must not
    be outvoted by a circle that fits at any turn.
    """
    used = seen.inside & (seen.strength > 0)
    if used.sum() < 12:
        return pose
    towards = np.conj(seen.normals)
    reference = example.shape.points[:, 0] + 1j * example.shape.points[:, 1]
    grow = towards * reference * pose.factor
    # factor * (1 + a + i b), centre + (c + i d): growth, turn, shift.
    design = np.column_stack([grow.real, -grow.imag, towards.real, -towards.imag])
    usual = median_of(seen.strength[used])
    base = np.where(used, np.minimum(seen.strength / usual, 1.0), 0.0)
    base[~example.outer] *= _INNER_WEIGHT
    solved = np.zeros(4)
    for _ in range(2):
        residual = seen.offsets - design @ solved
        spread = max(1.4826 * median_of(np.abs(residual[used])), _SPREAD * reach)
        ratio = np.minimum(np.square(residual / (4.685 * spread)), 1.0)
        weight = base * np.square(1 - ratio)
        normal = design.T @ (design * weight[:, None])
        normal.flat[::5] += 1e-9 * np.trace(normal) + 1e-12
        solved = np.linalg.solve(normal, design.T @ (weight * seen.offsets))
    growth = complex(1 + solved[0], solved[1])
    return Pose(pose.factor * growth, pose.centre + complex(solved[2], solved[3]))
