"""Radial profiles of the rendered parts: how bright, sloped, glossy and rough each ring is.

A profile is a set of tables over the level t (0 at the centre, 1 at the outline). The numbers
follow photographs of battery caps: dark floor, wall, shoulder, bead with a bright line, matte
flange, bright rounded rim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from goodpart.parts.render.pose import Floats
from goodpart.parts.render.truth import Kind

LENGTH = 4096
MAX_LEVEL = 1.15
_T = np.linspace(0, MAX_LEVEL, LENGTH)


@dataclass(frozen=True)
class Profile:
    """Tables of (4096,) float32 over the level 0 to 1.15, in grey values unless said otherwise.

    Attributes
    ----------
    side, front : brightness under light from the side and under frontal light
    slope : brightness gained where the surface faces the light, lost on the other side
    shadow : share of the light that is lost on the shadowed side (0 to 1)
    rim : extra brightness towards the rim's bright side
    gloss : brightness of the specular arcs
    line : darkening of the side opposite to the shadow (0 to 1)
    grain, brush, lathe : amplitude of the textures
    depth : depth of the surface below the rim (1 for the floor of the recess)
    """

    side: Floats
    front: Floats
    slope: Floats
    shadow: Floats
    rim: Floats
    gloss: Floats
    line: Floats
    grain: Floats
    brush: Floats
    lathe: Floats
    depth: Floats


def look_up(table: Floats, index: np.ndarray) -> Floats:
    """Read `table` at the integer positions of :func:`index_of`."""
    read: Floats = table[index]
    return read


def index_of(level: Floats) -> np.ndarray:
    """Turn levels into positions in the tables, (H, W) int32."""
    scaled = level * np.float32((LENGTH - 1) / MAX_LEVEL) + np.float32(0.5)
    return np.clip(scaled, 0, LENGTH - 1).astype(np.int32)


def _curve(*knots: tuple[float, float], soft: float = 0.008) -> Floats:
    """Piecewise linear through (level, value) knots, smoothed with a Gaussian of width `soft`."""
    x, y = zip(*knots, strict=True)
    values = np.interp(_T, x, y)
    step = MAX_LEVEL / (LENGTH - 1)
    half = int(4 * soft / step)
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) * step / soft) ** 2)
    padded = np.pad(values, half, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid").astype(np.float32)


def _bumps(*bumps: tuple[float, float, float]) -> Floats:
    """Sum of Gaussians given as (level, width, height)."""
    total = np.zeros(LENGTH)
    for centre, width, height in bumps:
        total += height * np.exp(-0.5 * ((_T - centre) / width) ** 2)
    return total.astype(np.float32)


def _plateau(low: float, high: float, height: float, soft: float = 0.012) -> Floats:
    return _curve((low - 1e-6, 0), (low, height), (high, height), (high + 1e-6, 0), soft=soft)


def _flat(value: float) -> Floats:
    return np.full(LENGTH, value, np.float32)


def _sum(tables: Sequence[Floats]) -> Floats:
    return np.sum(np.stack(tables), axis=0, dtype=np.float32)


@lru_cache(maxsize=8)
def profile(kind: Kind, reverse: bool) -> Profile:
    """Return the profile of `kind`, seen from the front or lying upside down."""
    if kind == "tab":
        return _tab_back() if reverse else _tab_front()
    return _cap_back() if reverse else _cap_front()


def _cap_front() -> Profile:
    return Profile(
        side=_sum(
            [
                _curve(
                    (0, 54),
                    (0.40, 58),
                    (0.445, 62),
                    (0.455, 54),
                    (0.50, 60),
                    (0.58, 68),
                    (0.63, 70),
                    (0.645, 40),
                    (0.665, 40),
                    (0.675, 84),
                    (0.72, 88),
                    (0.728, 70),
                    (0.745, 66),
                    (0.76, 88),
                    (0.90, 92),
                    (0.925, 96),
                    (0.945, 148),
                    (0.985, 160),
                    (1.0, 128),
                    soft=0.006,
                ),
                _bumps((0.705, 0.008, 46)),
            ]
        ),
        front=_sum(
            [
                _curve(
                    (0, 113),
                    (0.44, 112),
                    (0.46, 113),
                    (0.60, 116),
                    (0.64, 119),
                    (0.72, 116),
                    (0.74, 108),
                    (0.76, 117),
                    (0.92, 119),
                    (0.945, 138),
                    (0.98, 140),
                    (1.0, 112),
                ),
                _bumps((0.655, 0.012, 8)),
            ]
        ),
        slope=_sum(
            [
                _plateau(0.448, 0.63, 21, soft=0.006),
                _bumps((0.61, 0.02, 14), (0.66, 0.015, -12)),
                _plateau(0.76, 0.93, -10),
                _curve((0, -3), (0.44, -3), (0.46, 0), soft=0.02),
            ]
        ),
        shadow=_sum([_bumps((0.49, 0.035, 0.72), (0.57, 0.05, 0.34), (0.655, 0.01, 0.35))]),
        rim=_plateau(0.94, 1.1, 54),
        gloss=_bumps((0.708, 0.009, 105), (0.60, 0.02, 10)),
        line=_bumps((0.742, 0.010, 0.28), (0.655, 0.008, 0.15)),
        grain=_sum([_plateau(0.75, 0.935, 8.5), _plateau(0.46, 0.65, 4.0), _plateau(0, 0.45, 1.2)]),
        brush=_sum([_plateau(-1, 0.44, 2.8), _plateau(0.46, 0.93, 0.8)]),
        lathe=_sum([_plateau(0.46, 0.65, 2.6), _plateau(0.75, 0.94, 0.9)]),
        depth=_curve((0, 1), (0.42, 1), (0.64, 0.0), (1.0, 0), soft=0.02),
    )


def _cap_back() -> Profile:
    return Profile(
        side=_sum(
            [
                _curve(
                    (0, 112),
                    (0.25, 108),
                    (0.5, 99),
                    (0.7, 88),
                    (0.84, 74),
                    (0.875, 62),
                    (0.89, 58),
                    (0.91, 92),
                    (0.955, 128),
                    (0.98, 138),
                    (1.0, 112),
                    soft=0.012,
                ),
            ]
        ),
        front=_curve(
            (0, 134),
            (0.3, 131),
            (0.6, 123),
            (0.84, 112),
            (0.885, 100),
            (0.91, 116),
            (0.955, 132),
            (0.985, 134),
            (1.0, 110),
            soft=0.012,
        ),
        slope=_sum([_curve((0, 0), (0.3, 9), (0.6, 20), (0.85, 32), (0.89, 0), soft=0.02)]),
        shadow=_bumps((0.80, 0.08, 0.18)),
        rim=_plateau(0.945, 1.1, 34),
        gloss=_bumps((0.945, 0.010, 45)),
        line=_bumps((0.89, 0.012, 0.22)),
        grain=_plateau(-1, 0.88, 1.5),
        brush=_plateau(-1, 0.88, 1.6),
        lathe=_plateau(0.2, 0.88, 1.1),
        depth=_flat(0),
    )


def _tab_front() -> Profile:
    return Profile(
        side=_curve(
            (0, 84),
            (0.76, 86),
            (0.785, 66),
            (0.80, 66),
            (0.82, 96),
            (0.94, 98),
            (0.955, 118),
            (0.985, 124),
            (1.0, 98),
            soft=0.007,
        ),
        front=_curve(
            (0, 116),
            (0.76, 118),
            (0.79, 104),
            (0.82, 120),
            (0.94, 122),
            (0.96, 132),
            (0.985, 134),
            (1.0, 108),
            soft=0.007,
        ),
        slope=_sum([_plateau(0.945, 1.1, 34, soft=0.008), _bumps((0.80, 0.012, -26))]),
        shadow=_bumps((0.79, 0.01, 0.2)),
        rim=_plateau(0.95, 1.1, 22),
        gloss=_bumps((0.962, 0.008, 55)),
        line=_bumps((0.80, 0.01, 0.15)),
        grain=_flat(1.8),
        brush=_flat(6.5),
        lathe=_flat(0),
        depth=_flat(0),
    )


def _tab_back() -> Profile:
    return Profile(
        side=_curve(
            (0, 108), (0.72, 108), (0.82, 104), (0.9, 94), (0.96, 84), (1.0, 70), soft=0.02
        ),
        front=_curve((0, 128), (0.72, 128), (0.85, 122), (0.95, 110), (1.0, 92), soft=0.02),
        slope=_curve((0, 0), (0.72, 0), (0.82, 12), (1.0, 40), soft=0.03),
        shadow=_flat(0),
        rim=_flat(0),
        gloss=_bumps((0.90, 0.03, 26)),
        line=_flat(0),
        grain=_flat(3.2),
        brush=_flat(1.2),
        lathe=_flat(0),
        depth=_flat(0),
    )
