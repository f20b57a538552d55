"""Outlines of the rendered kinds, as signed distances in part coordinates.

Part coordinates have their origin at the part's centre and the outline at distance 1: a cap is the
unit disc, a tab reaches from -1 to 1 along u. Distances give edges that are exact at any size,
and from them come both the antialiased silhouette and the position on the part's profile.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goodpart.parts.render.pose import Floats, Matrix
from goodpart.parts.render.truth import Kind

NOTCH_RADIUS = 0.11
TAB_HALF_WIDTH = 0.62
TAB_CORNER = 0.18
TAB_HOLE = (0.56, 0.0)
TAB_HOLE_RADIUS = 0.19
_LIP = np.float32(2.0)  # the profile around a notch or hole is narrower than along the edge
_TINY = np.float32(1e-6)


@dataclass(frozen=True)
class Surface:
    """Where each pixel sits on a part: four (H, W) float32 arrays.

    Attributes
    ----------
    distance : signed distance to the outline, negative inside, unit radius
    level : position on the profile: 1 at the outline, falling inwards (the radius of a round part)
    dx, dy : unit vector towards which the profile rises to the outline
    """

    distance: Floats
    level: Floats
    dx: Floats
    dy: Floats


def surface(kind: Kind, u: Floats, v: Floats) -> Surface:
    """Evaluate the outline and profile of `kind` at part coordinates (u, v)."""
    if kind == "tab":
        return _tab(u, v)
    radius = np.sqrt(u * u + v * v)
    scale: Floats = np.reciprocal(np.maximum(radius, _TINY))
    distance = radius - 1
    level = radius
    if kind == "notched":
        to_notch = np.sqrt((u - 1) ** 2 + v * v) - np.float32(NOTCH_RADIUS)
        distance = np.maximum(distance, -to_notch)
        level = np.maximum(level, 1 - _LIP * to_notch)
    return Surface(distance, level, u * scale, v * scale)


def _tab(u: Floats, v: Floats) -> Surface:
    corner = np.float32(TAB_CORNER)
    qx = np.abs(u) - (1 - corner)
    qy = np.abs(v) - (np.float32(TAB_HALF_WIDTH) - corner)
    ox, oy = np.maximum(qx, 0), np.maximum(qy, 0)
    outside = np.hypot(ox, oy)
    box = outside + np.minimum(np.maximum(qx, qy), 0) - corner
    in_corner = outside > 0
    scale = 1 / np.maximum(outside, _TINY)
    dx = np.where(in_corner, ox * scale, qx > qy) * np.sign(u)
    dy = np.where(in_corner, oy * scale, qx <= qy) * np.sign(v)
    hx, hy = u - np.float32(TAB_HOLE[0]), v - np.float32(TAB_HOLE[1])
    to_hole = np.hypot(hx, hy)
    hole = np.float32(TAB_HOLE_RADIUS) - to_hole
    nearer = _LIP * hole > box
    scale = 1 / np.maximum(to_hole, _TINY)
    return Surface(
        np.maximum(box, hole),
        1 + np.maximum(box, _LIP * hole),
        np.where(nearer, -hx * scale, dx).astype(np.float32),
        np.where(nearer, -hy * scale, dy).astype(np.float32),
    )


def outline(kind: Kind, count: int = 720) -> Matrix:
    """Points on the outer edge of `kind` in part coordinates, (count, 2), notch and hole left out.

    The notch lies within the circle, so the circle is what touches a neighbour or the border.
    """
    turn = np.linspace(0, 2 * np.pi, count, endpoint=False)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if kind != "tab":
        return circle
    inner = np.array([1 - TAB_CORNER, TAB_HALF_WIDTH - TAB_CORNER])
    corners = np.sign(circle) * inner + TAB_CORNER * circle
    # The corners' arcs hold all those points: spread them evenly, the straight edges included.
    closed = np.vstack([corners, corners[:1]])
    run = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    even = np.linspace(0, run[-1], count, endpoint=False)
    return np.stack([np.interp(even, run, closed[:, axis]) for axis in (0, 1)], axis=1)


def boundary(kind: Kind, turn: float) -> tuple[Matrix, Matrix]:
    """A point on the outer edge and its outward normal, both (2,), for the normal's direction."""
    normal = np.array([np.cos(turn), np.sin(turn)])
    if kind != "tab":
        return normal, normal
    inner = np.array([1 - TAB_CORNER, TAB_HALF_WIDTH - TAB_CORNER])
    return np.sign(normal) * inner + TAB_CORNER * normal, normal
