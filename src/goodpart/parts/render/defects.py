"""What goes wrong with a part: bends, stains and scratches, from barely visible to obvious.

Severity runs from 0 (a person just sees it) to 1 (obvious from across the room). A part lying
upside down (Reverse) is a matter of its profile and painted in ``shading``.
"""

from __future__ import annotations

import numpy as np

from goodpart.parts.render.light import Light
from goodpart.parts.render.pose import Floats, Pose
from goodpart.parts.render.shading import Painted
from goodpart.parts.render.shapes import boundary, surface
from goodpart.parts.render.textures import sample
from goodpart.parts.render.truth import Kind


def _between(low: float, high: float, severity: float) -> float:
    """Grow evenly in ratio from `low` to `high`, as the eye judges size and contrast."""
    return float(low * (high / low) ** severity)


def _smooth(x: Floats, low: float, high: float) -> Floats:
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bend(
    kind: Kind,
    pose: Pose,
    light: Light,
    u: Floats,
    v: Floats,
    severity: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    """Deform a part: a dent in its edge, a folded side, or the whole part out of shape.

    Returns
    -------
    u, v : (H, W) float32
        Part coordinates of the undeformed part that appear at each pixel.
    shade : (H, W) float32
        Relative change of brightness, since a bent surface faces another way.
    """
    mode = rng.choice(["dent", "fold", "warp"], p=[0.45, 0.3, 0.25])
    turn = float(rng.uniform(0, 2 * np.pi))
    x, y = pose.direction_in_part(light.shadow)
    if mode == "dent":
        return _dent(kind, u, v, severity, turn, (x, y), rng)
    if mode == "fold":
        return _fold(kind, u, v, severity, turn, (x, y))
    return _warp(kind, u, v, severity, turn, rng)


def _dent(
    kind: Kind,
    u: Floats,
    v: Floats,
    severity: float,
    turn: float,
    light: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    point, normal = boundary(kind, turn)
    width = _between(0.11, 0.24, severity) * float(rng.uniform(0.85, 1.2))
    depth = _between(0.022, 0.115, severity)
    # Wider along the edge than across it: a knock flattens the rim before it reaches the flange.
    across = (u - np.float32(point[0])) * np.float32(normal[0])
    across += (v - np.float32(point[1])) * np.float32(normal[1])
    along = (v - np.float32(point[1])) * np.float32(normal[0])
    along -= (u - np.float32(point[0])) * np.float32(normal[1])
    ax, al = across / np.float32(width), along / np.float32(1.4 * width)
    bell = np.exp(-0.5 * (ax * ax + al * al))
    push = np.float32(depth) * bell
    to_normal = normal[0] * light[0] + normal[1] * light[1]
    to_along = normal[0] * light[1] - normal[1] * light[0]
    relief = np.float32(_between(0.25, 1.3, severity))
    shade = relief * bell * (np.float32(to_along) * al - np.float32(to_normal) * ax * 0.8)
    shade -= np.float32(0.25 * _between(0.3, 1.0, severity)) * bell
    bent = np.float32(normal[0]), np.float32(normal[1])
    return u + push * bent[0], v + push * bent[1], np.clip(shade, -0.7, 0.9)


def _fold(
    kind: Kind, u: Floats, v: Floats, severity: float, turn: float, light: tuple[float, float]
) -> tuple[Floats, Floats, Floats]:
    point, normal = boundary(kind, turn)
    reach = float(point @ normal)
    crease = reach - _between(0.20, 0.55, severity)
    nx, ny = np.float32(normal[0]), np.float32(normal[1])
    along = nx * v - ny * u
    beyond = np.maximum(nx * u + ny * v - np.float32(crease) - np.float32(0.12) * along * along, 0)
    shorter = np.float32(_between(0.09, 0.30, severity))
    facing = normal[0] * light[0] + normal[1] * light[1]
    tilt = np.float32(_between(0.10, 0.46, severity) * (-1 if facing > 0 else 1))
    soft = _smooth(beyond, 0.0, 0.24)
    line = np.exp(-0.5 * ((beyond - np.float32(0.09)) / np.float32(0.035)) ** 2) * (beyond > 0)
    return (
        u + nx * beyond * shorter,
        v + ny * beyond * shorter,
        tilt * soft + np.float32(0.45 * abs(float(tilt))) * line,
    )


def _warp(
    kind: Kind, u: Floats, v: Floats, severity: float, turn: float, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    if kind == "tab":
        sag = np.float32(_between(0.03, 0.16, severity) * rng.choice([-1, 1]))
        return u, v + sag * (u * u - np.float32(0.3)), np.float32(0.9) * sag * u
    out = np.float32(_between(0.016, 0.075, severity))
    c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along: Floats = c * u + s * v
    across: Floats = c * v - s * u
    # Squeezed across, bulging along, and lighter on one side since it no longer lies flat.
    shade = np.float32(3.0) * out * along
    longer = np.float32(1 + out)
    along /= longer
    across *= longer
    return c * along - s * across, s * along + c * across, shade


def _place(kind: Kind, rng: np.random.Generator, reach: float) -> tuple[float, float]:
    """Draw a point on the material, at most `reach` of the way to the outline."""
    while True:
        point = rng.uniform(-1, 1, 2)
        where = surface(kind, *point.astype(np.float32).reshape(2, 1, 1))
        if where.distance[0, 0] < -(1 - reach):
            return float(point[0]), float(point[1])


def stain(
    kind: Kind, painted: Painted, u: Floats, v: Floats, severity: float, rng: np.random.Generator
) -> Painted:
    """Put an irregular, half-transparent blotch on a painted part, darker or brighter than it."""
    x, y = _place(kind, rng, 0.88)
    size = _between(0.075, 0.30, severity) * float(rng.uniform(0.85, 1.15))
    bright = rng.random() < 0.35
    opacity = _between(0.26, 0.6 if bright else 0.8, severity)
    tone = np.float32(rng.uniform(175, 225) if bright else rng.uniform(12, 40))
    blob = np.full(u.shape, -9.0, np.float32)
    for index in range(int(rng.integers(2, 5))):
        away = rng.normal(0, 0.55 * size, 2) if index else np.zeros(2)
        radius = size * (float(rng.uniform(0.45, 0.9)) if index else 1.0)
        far = np.hypot(u - np.float32(x + away[0]), v - np.float32(y + away[1]))
        blob = np.maximum(blob, (np.float32(radius) - far) / np.float32(size))
    clouds = sample("clouds", u, v, scale=30 / size, rng=rng)
    ragged = blob + np.float32(0.27) * clouds * _smooth(blob, -1.2, -0.2)
    inside = _smooth(ragged, -0.06, float(rng.uniform(0.12, 0.4)))
    dried = np.exp(-0.5 * ((ragged - np.float32(0.10)) / np.float32(0.07)) ** 2)
    patchy = np.clip(0.74 + 0.2 * sample("clouds", u, v, scale=60 / size, rng=rng), 0.35, 1)
    cover = np.float32(opacity) * inside * np.clip(patchy + 0.3 * dried, 0, 1)
    return Painted(painted.grey + cover * (tone - painted.grey), painted.alpha)


def scratch(
    kind: Kind,
    painted: Painted,
    pose: Pose,
    u: Floats,
    v: Floats,
    severity: float,
    rng: np.random.Generator,
) -> Painted:
    """Draw one to three thin, slightly curved scratches that glint, each with a dark side."""
    grey = painted.grey
    for _ in range(1 + int(rng.random() < 0.5 * severity) + int(rng.random() < 0.4 * severity)):
        x, y = _place(kind, rng, 0.85)
        heading = rng.uniform(0, np.pi)
        half = _between(0.13, 0.55, severity) * float(rng.uniform(0.8, 1.2))
        width = max(_between(0.004, 0.009, severity), 0.7 / pose.radius)
        curve = float(rng.normal(0, 0.25))
        c, s = np.float32(np.cos(heading)), np.float32(np.sin(heading))
        along = c * (u - np.float32(x)) + s * (v - np.float32(y))
        across = c * (v - np.float32(y)) - s * (u - np.float32(x))
        across = (across - np.float32(curve) * along * along) / np.float32(width)
        taper = np.sqrt(np.clip(1 - (along / np.float32(half)) ** 2, 0, 1))
        taper *= 1 + 0.3 * np.clip(sample("clouds", u, v, scale=150, rng=rng), -2, 2)
        core = np.exp(-0.5 * across * across)
        side = np.exp(-0.5 * (across - 2) ** 2)
        glint = np.float32(_between(26, 105, severity) * (1 if rng.random() < 0.7 else -0.55))
        grey = grey + glint * taper * (core - np.float32(0.45) * side)
    return Painted(np.clip(grey, 0, 255), painted.alpha)
