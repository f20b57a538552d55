"""The scene around the parts: a black plastic tray with pockets, a lens and a sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from goodpart.parts.render.defects import bend, scratch, stain
from goodpart.parts.render.light import Light
from goodpart.parts.render.pose import Floats, Pose
from goodpart.parts.render.shading import Painted, paint
from goodpart.parts.render.shapes import outline
from goodpart.parts.render.textures import TILE, tile
from goodpart.parts.render.truth import Defect, Image, Kind

MASK_STEP = 3.0
"""Smallest change of the noise-free picture, in grey values, that counts as visible defect."""

_SHIFT = 4  # fractional bits of the coordinates that OpenCV's drawing functions take


@dataclass(frozen=True)
class Placed:
    """A part to draw: what it is, where it lies, how it is lit and what is wrong with it."""

    kind: Kind
    pose: Pose
    light: Light
    seed: int
    defect: Defect | None = None
    severity: float = 0.0


def draw_tray(
    size: tuple[int, int],
    pockets: Sequence[tuple[float, float]],
    radius: float,
    rng: np.random.Generator,
) -> Floats:
    """Draw the empty tray.

    Parameters
    ----------
    size : (int, int)
        Width and height.
    pockets : sequence of (x, y)
    radius : float
        Of the parts that the pockets hold, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    (H, W) float32, grey values
    """
    width, height = size
    plate = np.full((height, width), 9.5, np.float32)
    for x, y in pockets:
        _draw_pocket(plate, (x, y), radius, rng)
    # The tile is read at a coarser step on large trays, so that the plastic keeps its scale.
    step = max(1, round(radius / 130))
    texture = np.roll(tile("plastic"), tuple(rng.integers(0, TILE, 2)), axis=(0, 1))
    if step > 1:
        texture = np.repeat(np.repeat(texture, step, axis=0), step, axis=1)
        texture = np.asarray(cv2.blur(texture, (step, step)), np.float32)
    rows, columns = -(-height // texture.shape[0]), -(-width // texture.shape[1])
    plate *= 1 + 0.17 * np.tile(texture, (rows, columns))[:height, :width]
    _strew_dust(plate, radius, rng)
    _scuff(plate, pockets, radius, rng)
    return plate


def _draw_pocket(
    plate: Floats, centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> None:
    """A recess with rounded corners to grip into, darker than the plate, its edges faintly lit."""
    x, y = centre
    reach = 1.6 * radius
    x0, x1 = max(int(x - reach), 0), min(int(x + reach), plate.shape[1])
    y0, y1 = max(int(y - reach), 0), min(int(y + reach), plate.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    hole = np.zeros((y1 - y0, x1 - x0), np.float32)

    def disc(dx: float, dy: float, r: float) -> None:
        at = (round((x + dx - x0) * 2**_SHIFT), round((y + dy - y0) * 2**_SHIFT))
        cv2.circle(hole, at, round(r * 2**_SHIFT), (1.0,), -1, cv2.LINE_AA, _SHIFT)

    for sx in (-1, 1):
        for sy in (-1, 1):
            disc(sx * 0.68 * radius, sy * 0.68 * radius, 0.30 * radius)
    hole *= 1.8
    disc(0, 0, 1.06 * radius)
    hole = cv2.GaussianBlur(hole, (0, 0), max(0.012 * radius, 0.5))
    lit = np.roll(hole, (-max(round(0.02 * radius), 1),) * 2, axis=(0, 1)) - hole
    patch = plate[y0:y1, x0:x1]
    patch += -3.6 * hole + rng.uniform(1.5, 5.0) * np.maximum(lit, 0)


def _strew_dust(plate: Floats, radius: float, rng: np.random.Generator) -> None:
    """A few bright specks; on the plate only, since a speck on a part would be a defect."""
    height, width = plate.shape
    for _ in range(int(rng.poisson(4 * plate.size / (2.4 * radius) ** 2))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        r = radius * rng.uniform(0.003, 0.011)
        level = 8 + float(rng.exponential(14))
        at = (round(x * 2**_SHIFT), round(y * 2**_SHIFT))
        cv2.circle(plate, at, round(r * 2**_SHIFT), (level,), -1, cv2.LINE_AA, _SHIFT)


def _scuff(
    plate: Floats, pockets: Sequence[tuple[float, float]], radius: float, rng: np.random.Generator
) -> None:
    """Worn, shiny places on the plastic between the pockets."""
    height, width = plate.shape
    grain = tile("grain")
    for _ in range(int(rng.poisson(1.5 * plate.size / (2.4 * radius) ** 2))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        wide, high = radius * rng.uniform(0.05, 0.25), radius * rng.uniform(0.02, 0.06)
        strength = float(np.clip(rng.exponential(9), 2, 45))
        oy, ox = rng.integers(0, TILE, 2)
        if min(np.hypot(x - px, y - py) for px, py in pockets) < 1.22 * radius:
            continue
        x0, x1 = max(int(x - 3 * wide), 0), min(int(x + 3 * wide) + 1, width)
        y0, y1 = max(int(y - 3 * high), 0), min(int(y + 3 * high) + 1, height)
        across = ((np.arange(x0, x1) - x) / wide).astype(np.float32)
        down = ((np.arange(y0, y1) - y) / high).astype(np.float32)[:, None]
        rough = np.take(
            np.take(grain, np.arange(y0, y1) + oy, axis=0, mode="wrap"),
            np.arange(x0, x1) + ox,
            axis=1,
            mode="wrap",
        )
        bell = np.exp(-0.5 * (across * across + down * down))
        plate[y0:y1, x0:x1] += np.float32(strength) * bell * np.clip(0.6 + 0.5 * rough, 0, 3)


def draw_part(canvas: Floats, placed: Placed, blur: float) -> Image | None:
    """Draw a part onto `canvas` in place.

    Parameters
    ----------
    canvas : (H, W) float32
    placed : Placed
    blur : float
        Width of the lens blur in pixels that the caller applies afterwards (for the mask only).

    Returns
    -------
    (H, W) uint8 or None
        255 where the defect shows; None for a normal part or one outside the canvas.
    """
    height, width = canvas.shape
    # A part bent out of shape may bulge, most of all a tab bent like a banana.
    reach = 1.2 if placed.defect == "Bending" else 1.01
    ring = placed.pose.to_image(reach * outline(placed.kind, 180))
    x0, y0 = np.maximum(np.floor(ring.min(axis=0)).astype(int) - 3, 0)
    x1, y1 = np.minimum(np.ceil(ring.max(axis=0)).astype(int) + 4, (width, height))
    if x1 <= x0 or y1 <= y0:
        return None
    patch = canvas[y0:y1, x0:x1]
    u, v = placed.pose.grid(int(x0), int(y0), int(x1 - x0), int(y1 - y0))
    painted = _paint(placed, u, v)
    shown = patch + painted.alpha * (painted.grey - patch)
    mask = None
    if placed.defect is not None:
        mask = np.zeros(canvas.shape, np.uint8)
        if placed.defect == "Reverse":
            marked = painted.alpha > 0.5
        else:
            good = _paint(Placed(placed.kind, placed.pose, placed.light, placed.seed), u, v)
            change = shown - patch - good.alpha * (good.grey - patch)
            marked = np.abs(cv2.GaussianBlur(change, (0, 0), blur)) > MASK_STEP
        mask[y0:y1, x0:x1] = _closed(marked, placed.pose.radius)
    patch[:] = shown
    return mask


def _closed(marked: np.ndarray, radius: float) -> Image:
    """Close gaps as narrow as the texture's, so that one defect is one region."""
    reach = max(3, 2 * round(0.015 * radius) + 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(marked.astype(np.uint8) * 255, cv2.MORPH_CLOSE, kernel)
    return np.asarray(closed, np.uint8)


def _paint(placed: Placed, u: Floats, v: Floats) -> Painted:
    kind, pose, light, severity = placed.kind, placed.pose, placed.light, placed.severity
    rng = np.random.default_rng([placed.seed, 7])
    shade = None
    if placed.defect == "Bending":
        u, v, shade = bend(kind, pose, light, u, v, severity, rng)
    dome = severity if placed.defect == "Reverse" else None
    painted = paint(kind, pose, light, u, v, texture_seed=placed.seed, dome=dome, shade=shade)
    if placed.defect == "Stain":
        return stain(kind, painted, u, v, severity, rng)
    if placed.defect == "Scratch":
        return scratch(kind, painted, pose, u, v, severity, rng)
    return painted


def light_falloff(size: tuple[int, int], gradient: float, azimuth: float) -> Floats:
    """Brightness over the picture: falls by `gradient` from one side to the other, mean 1."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    slope_x, slope_y = (np.float32(0.5 * gradient * f(azimuth)) for f in (np.cos, np.sin))
    vignette = np.float32(0.12 * gradient) * (x * x + y * y)
    fall: Floats = 1 + slope_x * x + slope_y * y - vignette
    return fall


def expose(canvas: Floats, blur: float, noise: float, rng: np.random.Generator) -> Image:
    """Blur as the lens does, add the sensor's read and shot noise, and go to 8 bit.

    Parameters
    ----------
    canvas : (H, W) float32, grey values; overwritten
    blur : float
        Standard deviation in pixels.
    noise : float
        Factor on the noise of an ordinary industrial camera (1: about 0.8 grey values in the dark,
        1.8 at mid-grey).
    rng : numpy.random.Generator
    """
    canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur, dst=canvas), np.float32)
    if noise > 0:
        grain = rng.standard_normal(canvas.shape, dtype=np.float32)
        spread = np.sqrt(np.float32(0.6) + np.float32(0.022) * canvas)
        canvas += np.float32(noise) * spread * grain
    canvas += np.float32(0.5)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)
