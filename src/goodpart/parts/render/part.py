"""Render one part image: what a crop around one pocket of the tray would show."""

from __future__ import annotations

import numpy as np

from goodpart.errors import RecipeError
from goodpart.parts.render.light import VIEWS, draw_light
from goodpart.parts.render.pose import Pose
from goodpart.parts.render.scene import Placed, draw_part, draw_tray, expose, light_falloff
from goodpart.parts.render.truth import (
    NORMAL,
    Defect,
    Kind,
    RenderedPart,
    check_defect,
    check_kind,
)

MIN_SIZE, MAX_SIZE = 32, 4096


def render_part(
    kind: Kind,
    rng: np.random.Generator,
    *,
    size: int = 480,
    defect: Defect | None = None,
    severity: float | None = None,
    variation: float = 1.0,
    noise: float = 1.0,
    tilt: float = 0.0,
    angle: float | None = None,
    view: tuple[float, float] | None = None,
) -> RenderedPart:
    """Render a part as a camera above the tray would photograph it.

    The generator is asked for one number, whatever the options: from the same state, a part with a
    defect is the same part, in the same place and light and with the same noise, as without it.

    Parameters
    ----------
    kind : {"cap", "notched", "tab"}
    rng : numpy.random.Generator
    size : int
        Width and height of the square picture, 32 to 4096 pixels; the part fills 86 % of it.
    defect : {"Bending", "Stain", "Reverse", "Scratch"}, optional
        None for a normal part.
    severity : float, optional
        0 (just visible) to 1 (obvious); drawn evenly when not given.
    variation : float
        Scales the jitter of position, size and light: 1 as on an ordinary line, 0 none.
    noise : float
        Scales the sensor's noise.
    tilt : float
        Slant of the part in degrees, 0 to 60, in a random direction.
    angle : float, optional
        Turn of the part in degrees; any, when not given.
    view : (float, float), optional
        Place of the pocket on its tray, with the corners at (±1, ±1): it decides from where the
        light comes. One of five places when not given.

    Returns
    -------
    RenderedPart

    Raises
    ------
    RecipeError
        For an unknown kind or defect, or a number outside its range.
    """
    check_kind(kind)
    if defect is not None:
        check_defect(defect)
    check_range("size", size, MIN_SIZE, MAX_SIZE)
    check_range("variation", variation, 0, 10)
    check_range("noise", noise, 0, 20)
    check_range("tilt", tilt, 0, 60)
    if severity is not None:
        check_range("severity", severity, 0, 1)
    seed = int(rng.integers(2**62))
    draw, scene_rng, noise_rng = (np.random.default_rng([seed, part]) for part in (1, 2, 3))
    chosen = VIEWS[int(draw.integers(len(VIEWS)))]
    look = (
        chosen[0] + 0.08 * variation * float(draw.normal()),
        chosen[1] + 0.08 * variation * float(draw.normal()),
    )
    light = draw_light(draw, look if view is None else view, variation)
    pocket = ((size - 1) / 2, (size - 1) / 2)
    offset = np.clip(draw.normal(0, 0.012 * size * variation, 2), -0.04 * size, 0.04 * size)
    radius = 0.43 * size * (1 + 0.004 * variation * float(np.clip(draw.normal(), -2.5, 2.5)))
    free_angle, azimuth, fall = draw.uniform(-180, 180, 3)
    drawn_severity = float(draw.uniform(0, 1))
    pose = Pose(
        centre=(pocket[0] + float(offset[0]), pocket[1] + float(offset[1])),
        radius=radius,
        angle=float(free_angle if angle is None else angle),
        tilt=tilt,
        tilt_azimuth=float(azimuth),
    )
    degree = drawn_severity if severity is None else float(severity)
    placed = Placed(kind, pose, light, seed, defect, degree)
    canvas = draw_tray((size, size), [pocket], 0.43 * size, scene_rng)
    blur = lens_blur(radius) * float(1 + 0.1 * np.clip(variation * draw.normal(), -2, 2))
    mask = draw_part(canvas, placed, blur)
    canvas *= light_falloff((size, size), 0.05 * variation, np.deg2rad(fall))
    return RenderedPart(
        image=expose(canvas, blur, noise, noise_rng),
        mask=np.zeros((size, size), np.uint8) if mask is None else mask,
        truth=pose.truth(kind, defect or NORMAL, degree if defect else None),
    )


def lens_blur(radius: float) -> float:
    """Usual lens blur in pixels for parts of `radius` pixels."""
    return max(0.45, 0.0058 * radius)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise :class:`~goodpart.errors.RecipeError` unless low <= value <= high."""
    if not low <= value <= high:
        raise RecipeError(f"{name} = {value:g} cannot be rendered: choose {low:g} to {high:g}")
