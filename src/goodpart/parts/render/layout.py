"""Where the pockets of a rendered tray are, and how parts lie in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from goodpart.errors import RecipeError
from goodpart.parts.render.pose import Matrix, Pose
from goodpart.parts.render.shapes import outline
from goodpart.parts.render.truth import Kind

Layout = Literal["five"] | tuple[int, int]

_FIVE: dict[str, tuple[float, float]] = {
    "top_left": (0.20, 0.23),
    "centre": (0.5, 0.5),
    "top_right": (0.80, 0.23),
    "bottom_left": (0.20, 0.77),
    "bottom_right": (0.80, 0.77),
}
_FIVE_RADIUS = 0.165
_GRID_RADIUS = 0.40
MAX_GRID = 40
_NEAREST = 16  # points of an outline that may hold its nearest place to another


@dataclass(frozen=True)
class Pocket:
    """A pocket: its name, its centre in pixels, and where it lies as ``draw_light`` wants it."""

    name: str
    centre: tuple[float, float]
    view: tuple[float, float]


def lay_out(
    layout: Layout, size: tuple[int, int], shift: tuple[float, float], turn: float
) -> list[Pocket]:
    """Place the pockets of `layout`, the whole tray shifted (pixels) and turned (degrees).

    Raises
    ------
    RecipeError
        When the layout is not ``"five"`` or (rows, columns) within 1 to 40.
    """
    if layout == "five":
        places = _FIVE
    elif (
        isinstance(layout, tuple)
        and len(layout) == 2
        and all(isinstance(n, int) and 1 <= n <= MAX_GRID for n in layout)
    ):
        rows, columns = layout
        places = {
            f"r{row + 1}c{column + 1}": ((column + 0.5) / columns, (row + 0.5) / rows)
            for row in range(rows)
            for column in range(columns)
        }
    else:
        raise RecipeError(
            f"layout {layout!r} cannot be rendered: choose 'five' or (rows, columns), "
            f"each 1 to {MAX_GRID}"
        )
    width, height = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    c, s = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    pockets = []
    for name, (x, y) in places.items():
        flat = np.array([x * width - 0.5, y * height - 0.5]) - middle
        centre = np.array([[c, -s], [s, c]]) @ flat + middle + shift
        view = 2 * (centre - middle) / (width, height) / 0.6
        pockets.append(
            Pocket(
                name,
                (float(centre[0]), float(centre[1])),
                (float(np.clip(view[0], -1.3, 1.3)), float(np.clip(view[1], -1.3, 1.3))),
            )
        )
    return pockets


def usual_radius(layout: Layout, size: tuple[int, int]) -> float:
    """Radius in pixels at which parts fill their pockets."""
    width, height = size
    if layout == "five":
        return _FIVE_RADIUS * min(width, height)
    rows, columns = layout
    return _GRID_RADIUS * min(width / columns, height / rows)


def neighbour(pockets: list[Pocket], index: int, free: set[int]) -> int | None:
    """The nearest of the `free` pockets next to `index`; None when none is next to it."""
    here = np.asarray(pockets[index].centre)
    away = [float(np.hypot(*(np.asarray(pocket.centre) - here))) for pocket in pockets]
    # A part is not pushed past the neighbour to one that lies farther off.
    reach = 1.25 * min((far for other, far in enumerate(away) if other != index), default=0.0)
    near = [other for other in free if other != index and away[other] <= reach]
    return min(near, key=lambda other: away[other], default=None)


def gap(kind: Kind, one: Pose, other: Pose) -> float:
    """Distance in pixels between the outlines of two parts that do not overlap."""
    a = one.to_image(outline(kind))
    b = other.to_image(outline(kind))
    x = a[:, 0, None] - b[:, 0]
    y = a[:, 1, None] - b[:, 1]
    away = x * x + y * y
    # Between the points the outlines come nearer than the points do: measure to the chords.
    near_a, near_b = (np.argsort(away.min(axis=axis))[:_NEAREST] for axis in (1, 0))
    return min(_to_polygon(a[near_a], b), _to_polygon(b[near_b], a))


def _to_polygon(points: Matrix, ring: Matrix) -> float:
    """Smallest distance from any of the points to the edges of a closed polygon."""
    edge = np.roll(ring, -1, axis=0) - ring
    way = points[:, None] - ring
    share = np.clip((way * edge).sum(axis=2) / (edge * edge).sum(axis=1), 0, 1)
    return float(np.linalg.norm(way - share[..., None] * edge, axis=2).min())


def touch(kind: Kind, one: Pose, other: Pose) -> tuple[Pose, Pose]:
    """Move two parts towards each other, each half of the way, until they touch.

    Moving both by the whole gap between them can never make them overlap, and each such step closes
    at least most of it (conservative advancement, Mirtich 1996).
    """
    way = np.subtract(other.centre, one.centre)
    way = way / np.hypot(*way)
    for _ in range(200):
        left = gap(kind, one, other)
        if left < 0.3:
            break
        step = 0.5 * left * way
        one = replace(one, centre=_moved(one, step))
        other = replace(other, centre=_moved(other, -step))
    return one, other


def _moved(pose: Pose, step: Matrix) -> tuple[float, float]:
    return pose.centre[0] + float(step[0]), pose.centre[1] + float(step[1])


def cut_shift(kind: Kind, pose: Pose, size: tuple[int, int], share: float) -> tuple[float, float]:
    """How far to move a part so that the nearest border cuts off `share` of its extent (0 to 1)."""
    width, height = size
    ring = pose.to_image(outline(kind))
    (left, top), (right, bottom) = ring.min(axis=0), ring.max(axis=0)
    wide, high = share * (right - left), share * (bottom - top)
    moves = [
        (-0.5 - left - wide, 0.0),
        (width - 0.5 - right + wide, 0.0),
        (0.0, -0.5 - top - high),
        (0.0, height - 0.5 - bottom + high),
    ]
    return min(moves, key=lambda move: abs(move[0]) + abs(move[1]))


def visible_share(kind: Kind, pose: Pose, size: tuple[int, int]) -> float:
    """Share of the outline's area inside the image, 0 to 1, by clipping its polygon."""
    ring = pose.to_image(outline(kind))
    whole = _area(ring)
    for axis, limit in ((0, size[0] - 0.5), (1, size[1] - 0.5)):
        ring = _clip(ring, axis, -0.5, keep_above=True)
        ring = _clip(ring, axis, limit, keep_above=False)
    return float(min(_area(ring) / whole, 1.0))


def _area(ring: Matrix) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def _clip(ring: Matrix, axis: int, limit: float, *, keep_above: bool) -> Matrix:
    """Clip a convex polygon at a line: one step of Sutherland and Hodgman (1974)."""
    inside = ring[:, axis] >= limit if keep_above else ring[:, axis] <= limit
    kept = []
    for index, point in enumerate(ring):
        following = (index + 1) % len(ring)
        if inside[index]:
            kept.append(point)
        if inside[index] != inside[following]:
            way = ring[following] - point
            kept.append(point + way * (limit - point[axis]) / way[axis])
    return np.array(kept) if kept else np.zeros((1, 2))
