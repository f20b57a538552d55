"""How the light falls on a part, depending on where it lies on the tray.

A part in the middle of the tray sees the lamp from straight above: dark floor, an even bright ring.
Towards the corners the lamp shines in from one side: the wall of the recess throws a crescent of
shadow, the bead gleams in two arcs, and in one corner nearly everything is lit frontally and flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEWS: tuple[tuple[float, float], ...] = ((-1, -1), (0, 0), (1, -1), (-1, 1), (1, 1))


@dataclass(frozen=True)
class Light:
    """Light on one part.

    Attributes
    ----------
    frontal : float
        0 (light from the side, strong relief) to 1 (flat, bright).
    shadow : float
        Direction in the image where the recess lies in shadow, radians.
    rim : float
        Direction of the brighter side of the rim, radians.
    gloss : (float, float)
        Directions of the two bright arcs, radians.
    gloss_strength : float
    parallax : (float, float)
        How far the floor of the recess is displaced, in part radii, in image directions.
    exposure : float
        Factor on all grey values.
    """

    frontal: float
    shadow: float
    rim: float
    gloss: tuple[float, float]
    gloss_strength: float
    parallax: tuple[float, float]
    exposure: float


def draw_light(rng: np.random.Generator, view: tuple[float, float], variation: float) -> Light:
    """Draw the light for a part at `view`, its place on the tray with corners at (±1, ±1).

    `variation` scales what changes from part to part in one place (0 none, 1 as on a usual line).
    """
    vx, vy = view
    off_axis = min(float(np.hypot(vx, vy)) / np.sqrt(2), 1.0)
    # Not even: a second lamp or a white wall on one side lights one corner more than the others.
    side = 0.575 + 0.175 * vx + 0.05 * vy + 0.1 * vx * vy
    jitter = rng.normal(0, 1, 8) * variation
    frontal = float(np.clip(0.05 + off_axis * side + 0.06 * jitter[0], 0, 1))
    outwards = np.arctan2(vy, vx) if off_axis > 0.1 else np.deg2rad(140)
    shadow = float(outwards + np.pi + 0.12 * jitter[1])
    return Light(
        frontal=frontal,
        shadow=shadow,
        rim=float(shadow + np.pi + 0.3 * jitter[2]),
        gloss=(
            float(shadow + np.pi / 2 + 0.15 * jitter[3]),
            float(shadow - np.pi / 2 + 0.15 * jitter[4]),
        ),
        gloss_strength=float(np.clip(1 + 0.15 * jitter[5], 0.5, 1.6)),
        parallax=(0.042 * vx + 0.006 * float(jitter[6]), 0.042 * vy + 0.006 * float(jitter[7])),
        exposure=float(np.clip(1 + 0.05 * rng.normal() * variation, 0.8, 1.25)),
    )
