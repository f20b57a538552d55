"""From pose, light and profile to grey values: one part painted on a patch, without noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from goodpart.parts.render.light import Light
from goodpart.parts.render.pose import Floats, Pose
from goodpart.parts.render.profiles import LENGTH, index_of, look_up, profile
from goodpart.parts.render.shapes import Surface, surface
from goodpart.parts.render.textures import sample
from goodpart.parts.render.truth import Kind

_DOME_HIGHLIGHT = 30.0
_MARK = (-0.42, -0.715)
_MARK_RADIUS = 0.062


@dataclass(frozen=True)
class Painted:
    """A part on its patch: grey values and opacity, both (H, W) float32, opacity 0 to 1."""

    grey: Floats
    alpha: Floats


@lru_cache(maxsize=1)
def _turning_marks() -> Floats:
    """Concentric tool marks: smoothed noise over the level, (4096,) float32."""
    noise = np.random.default_rng(5).standard_normal(LENGTH)
    soft = np.convolve(noise, np.hanning(25), mode="same")
    return (soft / soft.std()).astype(np.float32)


def paint(
    kind: Kind,
    pose: Pose,
    light: Light,
    u: Floats,
    v: Floats,
    *,
    texture_seed: int,
    dome: float | None = None,
    shade: Floats | None = None,
) -> Painted:
    """Paint one part.

    Parameters
    ----------
    kind : {"cap", "notched", "tab"}
    pose : Pose
    light : Light
    u, v : (H, W) float32
        Part coordinates of each pixel, already bent where the part is bent.
    texture_seed : int
        The same seed gives the same grain and brush strokes, whatever else changes.
    dome : float, optional
        Given for a part lying upside down: how clearly its back differs, 0 to 1.
    shade : (H, W) float32, optional
        Relative change of brightness from a bend.
    """
    reverse = dome is not None
    if reverse:
        v = -v
    flip = -1.0 if reverse else 1.0
    table = profile(kind, reverse)
    outer = surface(kind, u, v)
    where = _seen_at_depth(kind, pose, light, u, v, outer, flip) if not reverse else outer
    index = index_of(where.level)

    def facing(azimuth: float) -> Floats:
        x, y = pose.direction_in_part(azimuth)
        return np.float32(x) * where.dx + np.float32(flip * y) * where.dy

    to_shadow = facing(light.shadow)
    frontal = np.float32(light.frontal)
    relief = 1 - np.float32(0.85) * frontal**2
    grey = look_up(table.side + frontal ** np.float32(0.75) * (table.front - table.side), index)
    strength = np.float32(1.0 if dome is None else 0.35 + 0.65 * dome)
    grey -= relief * strength * look_up(table.slope, index) * to_shadow
    lit = np.clip(0.5 + 0.5 * to_shadow, 0, 1)
    grey *= 1 - relief * look_up(table.shadow, index) * lit**3
    grey *= 1 - (0.4 + 0.6 * frontal) * look_up(table.line, index) * (1 - lit) ** 4
    grey += look_up(table.rim, index) * (0.35 + 0.65 * facing(light.rim))
    for azimuth, weight in zip(light.gloss, (1.0, 0.85), strict=True):
        arc = np.exp(np.float32(9) * (facing(azimuth) - 1))
        grey += np.float32(light.gloss_strength * weight) * look_up(table.gloss, index) * arc
    if dome is not None:
        grey += _dome_highlight(pose, light, u, v, flip, strength)
    grey += _texture(pose, u, v, index, kind, reverse, lit, relief, texture_seed)
    if kind == "notched" and not reverse:
        grey = _mark(grey, u, v, pose, light)
    if shade is not None:
        grey *= 1 + shade
    alpha = np.clip(0.5 - outer.distance * np.float32(_pixels_per_unit(pose)), 0, 1)
    return Painted(np.clip(grey * np.float32(light.exposure), 0, 255), alpha)


def _pixels_per_unit(pose: Pose) -> float:
    return float(np.sqrt(np.linalg.det(pose.linear)))


def _seen_at_depth(
    kind: Kind, pose: Pose, light: Light, u: Floats, v: Floats, outer: Surface, flip: float
) -> Surface:
    """Shift what lies deeper, as it is seen from a camera above the middle of the tray."""
    if kind == "tab":
        return outer
    px, py = light.parallax
    length = float(np.hypot(px, py))
    x, y = pose.direction_in_part(float(np.arctan2(py, px)))
    depth = look_up(profile(kind, False).depth, index_of(outer.level)) * np.float32(length)
    du, dv = u + depth * np.float32(x), v + depth * np.float32(flip * y)
    return surface(kind, du, dv)


def _dome_highlight(
    pose: Pose, light: Light, u: Floats, v: Floats, flip: float, strength: np.float32
) -> Floats:
    x, y = pose.direction_in_part(light.shadow + np.pi)
    spot = (u - np.float32(0.3 * x)) ** 2 + (v - np.float32(0.3 * flip * y)) ** 2
    return strength * np.float32(_DOME_HIGHLIGHT) * np.exp(-spot / np.float32(0.09))


def _texture(
    pose: Pose,
    u: Floats,
    v: Floats,
    index: np.ndarray,
    kind: Kind,
    reverse: bool,
    lit: Floats,
    relief: np.float32,
    seed: int,
) -> Floats:
    rng = np.random.default_rng([seed, 11])
    table = profile(kind, reverse)
    rough = (0.25 + 0.75 * relief * (1 - lit)) * rng.uniform(0.7, 1.1)
    turn = 0.0 if kind == "tab" else float(rng.uniform(0, np.pi))
    # A texture finer than the pixels would alias: small parts read the tile at a coarser scale.
    scale = min(230.0, 1.1 * pose.radius)
    total = look_up(table.grain, index) * sample("grain", u, v, scale=scale, rng=rng) * rough
    brush = sample("brush", u, v, scale=scale, rng=rng, turn=turn)
    total += look_up(table.brush, index) * brush * np.float32(rng.uniform(0.4, 1.0))
    marks = np.roll(_turning_marks(), int(rng.integers(LENGTH)))
    total += look_up(table.lathe * marks, index)
    return total.astype(np.float32)


def _mark(grey: Floats, u: Floats, v: Floats, pose: Pose, light: Light) -> Floats:
    """A punched dot on the flange: dark inside, its lip bright on the side facing the light."""
    mu, mv = u - np.float32(_MARK[0]), v - np.float32(_MARK[1])
    away = np.hypot(mu, mv)
    edge = (away - np.float32(_MARK_RADIUS)) / np.float32(0.012)
    inside = 1 / (1 + np.exp(np.clip(edge, -30, 30)))
    x, y = pose.direction_in_part(light.shadow)
    lip = np.exp(-0.5 * edge**2) * (np.float32(x) * mu + np.float32(y) * mv)
    return grey * (1 - 0.55 * inside) + lip * np.float32(45 / _MARK_RADIUS)
