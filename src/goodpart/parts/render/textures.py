"""Tileable noise: grain of matte metal, brush strokes, and soft clouds for stains and plastics.

The tiles are made once per process from fixed seeds, and each part reads them at its own offset.
All have mean 0 and standard deviation 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np

from goodpart.parts.render.pose import Floats

Texture = Literal["grain", "brush", "clouds", "plastic"]
TILE = 512
_SEEDS: dict[Texture, int] = {"grain": 1, "brush": 2, "clouds": 3, "plastic": 4}


def _blurred(noise: Floats, sigma_x: float, sigma_y: float) -> Floats:
    """Blur with wrap-around, so that the tile stays seamless."""
    pad = int(4 * max(sigma_x, sigma_y)) + 1
    wide = np.pad(noise, min(pad, TILE), mode="wrap")
    soft = np.asarray(cv2.GaussianBlur(wide, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y), np.float32)
    pad = min(pad, TILE)
    inner: Floats = soft[pad:-pad, pad:-pad]
    return (inner - inner.mean()) / inner.std()


@lru_cache(maxsize=8)
def tile(name: Texture) -> Floats:
    """Return the (512, 512) float32 tile called `name`."""
    rng = np.random.default_rng(_SEEDS[name])

    def noise() -> Floats:
        return rng.standard_normal((TILE, TILE)).astype(np.float32)

    if name == "grain":
        made = _blurred(noise(), 1.3, 0.8) + 0.5 * _blurred(noise(), 3.0, 1.4)
    elif name == "brush":
        made = _blurred(noise(), 14, 0.7) + 0.5 * _blurred(noise(), 30, 1.6)
    elif name == "clouds":
        made = sum(
            (_blurred(noise(), s, s) * np.float32(w) for s, w in ((40, 1.0), (18, 0.6), (7, 0.3))),
            start=np.zeros((TILE, TILE), np.float32),
        )
    else:
        made = _blurred(noise(), 1.2, 1.2) + 1.2 * _blurred(noise(), 30, 30)
    result: Floats = ((made - made.mean()) / made.std()).astype(np.float32)
    result.flags.writeable = False
    return result


def sample(
    name: Texture,
    u: Floats,
    v: Floats,
    *,
    scale: float,
    rng: np.random.Generator,
    turn: float = 0.0,
) -> Floats:
    """Read a tile at part coordinates.

    Parameters
    ----------
    name : str
    u, v : (H, W) float32
    scale : float
        Tile pixels per unit of part coordinates.
    rng : numpy.random.Generator
        Draws the offset.
    turn : float
        Direction of the tile's x axis in part coordinates, radians.

    Returns
    -------
    (H, W) float32
    """
    ox, oy = rng.uniform(0, TILE, 2)
    c, s = np.float32(scale * np.cos(turn)), np.float32(scale * np.sin(turn))
    x = np.mod(c * u + s * v + np.float32(ox), np.float32(TILE))
    y = np.mod(c * v - s * u + np.float32(oy), np.float32(TILE))
    read = cv2.remap(tile(name), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(read, np.float32)
