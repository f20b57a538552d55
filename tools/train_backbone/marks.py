"""What lies on a surface: scratches, cracks, stains, dents, dust, text, highlights and shadows.

Every function adds one mark to a float32 image (size, size, 3) in 0..1, in place. Strength runs
from hardly visible to plain.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from fields import Rng, grid, log_uniform, unit, white

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_SIMPLEX,
)


def strength(rng: Rng) -> float:
    """A signed change of brightness, 0.02 to 0.5."""
    return float(rng.choice([-1, 1]) * log_uniform(rng, 0.02, 0.5))


def blend(rng: Rng, image: np.ndarray, mask: np.ndarray) -> None:
    """Shift the image towards another brightness (or a colour cast) where the mask is."""
    colour = strength(rng) * np.ones(3)
    if rng.random() < 0.15:
        colour = colour + rng.uniform(-0.15, 0.15, 3)
    image += mask[..., None] * colour.astype(np.float32)


def _path(rng: Rng, size: int, steps: int, wander: float) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, wander, steps))
    stride = log_uniform(rng, 0.1, 0.8) * size / steps
    points = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], 1) * stride, 0)
    return points - points.mean(0) + rng.uniform(0, size, 2)


def _stroke(size: int, points: np.ndarray, width: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    fixed = np.round(points * 16).astype(np.int32)[None]
    cv2.polylines(mask, fixed, False, 255, width, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255


def scratch(rng: Rng, image: np.ndarray) -> None:
    """A thin, nearly straight line, now and then with a bright and a dark side."""
    size = image.shape[0]
    points = _path(rng, size, 12, 0.05)
    mask = _stroke(size, points, int(rng.integers(1, 3)))
    if rng.random() < 0.4:
        mask = mask - _stroke(size, points + rng.uniform(-2, 2, 2), 1)
    blend(rng, image, cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 1.0)))


def crack(rng: Rng, image: np.ndarray) -> None:
    """A jagged line that branches and fades."""
    size = image.shape[0]
    trunk = _path(rng, size, 24, 0.5)
    mask = _stroke(size, trunk, int(rng.integers(1, 3)))
    for _ in range(rng.integers(0, 4)):
        branch = _path(rng, size // 2, 10, 0.5)
        branch += trunk[rng.integers(0, len(trunk))] - branch[0]
        mask = np.maximum(mask, _stroke(size, branch, 1))
    blend(rng, image, cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 0.9)))


def stain(rng: Rng, image: np.ndarray) -> None:
    """A soft-edged patch of irregular outline."""
    size = image.shape[0]
    x, y = grid(size)
    cx, cy = rng.uniform(0, size, 2)
    radius = log_uniform(rng, 0.02, 0.4) * size
    bumps = unit(
        cv2.GaussianBlur(white(rng, size), (0, 0), max(1.0, radius * rng.uniform(0.2, 0.6)))
    )
    inside = 1 - np.hypot(x - cx, (y - cy) * log_uniform(rng, 0.4, 2.5)) / radius + 0.3 * bumps
    blend(rng, image, np.clip(inside * log_uniform(rng, 1, 20), 0, 1).astype(np.float32))


def dent(rng: Rng, image: np.ndarray) -> None:
    """A hollow or bump: one side lit, the other dark."""
    size = image.shape[0]
    x, y = grid(size)
    cx, cy = rng.uniform(0, size, 2)
    radius = log_uniform(rng, 0.015, 0.2) * size
    angle = rng.uniform(0, 2 * np.pi)
    dx, dy = (x - cx) / radius, (y - cy) / radius
    slope = (np.cos(angle) * dx + np.sin(angle) * dy) * np.exp(-0.5 * (dx * dx + dy * dy))
    blend(rng, image, slope.astype(np.float32) * 1.6)


def dust(rng: Rng, image: np.ndarray) -> None:
    """Scattered specks."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    for _ in range(rng.integers(1, 30)):
        spot = tuple(int(v) for v in rng.integers(0, size, 2))
        cv2.circle(mask, spot, int(rng.integers(0, 3)), float(rng.uniform(0.3, 1)), -1)
    blend(rng, image, cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.3, 1.2)))


def text(rng: Rng, image: np.ndarray) -> None:
    """Printed or engraved letters."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.uint8)
    letters = "".join(chr(c) for c in rng.integers(33, 127, int(rng.integers(1, 9))))
    spot = (int(rng.uniform(-0.1, 0.7) * size), int(rng.uniform(0.1, 1.1) * size))
    scale, thick = log_uniform(rng, 0.3, 4), int(rng.integers(1, 5))
    cv2.putText(
        mask, letters, spot, FONTS[rng.integers(len(FONTS))], scale, 255, thick, cv2.LINE_AA
    )
    if rng.random() < 0.6:
        turn = cv2.getRotationMatrix2D((size / 2, size / 2), rng.uniform(0, 360), 1)
        mask = cv2.warpAffine(mask, turn, (size, size))
    soft = mask.astype(np.float32) / 255
    if rng.random() < 0.3:
        soft = soft - np.roll(soft, (1, 1), (0, 1))
    blend(rng, image, soft)


def highlight(rng: Rng, image: np.ndarray) -> None:
    """A specular reflection, up to clipping."""
    size = image.shape[0]
    x, y = grid(size)
    cx, cy = rng.uniform(0, size, 2)
    angle = rng.uniform(0, np.pi)
    u = (np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)) / (log_uniform(rng, 0.02, 0.5) * size)
    v = (np.cos(angle) * (y - cy) - np.sin(angle) * (x - cx)) / (log_uniform(rng, 0.02, 0.5) * size)
    light = np.exp(-((u * u + v * v) ** rng.uniform(0.5, 3))) * log_uniform(rng, 0.1, 1.5)
    image += light[..., None].astype(np.float32)


def shadow(rng: Rng, image: np.ndarray) -> None:
    """Everything on one side of a soft line, or in a soft polygon, is darker."""
    size = image.shape[0]
    mask = np.zeros((size, size), np.float32)
    corners = rng.uniform(-0.5, 1.5, (int(rng.integers(3, 6)), 2)) * size
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1.0)
    mask = cv2.GaussianBlur(mask, (0, 0), log_uniform(rng, 0.7, 12))
    image *= (1 - mask * rng.uniform(0.1, 0.8))[..., None]


MARKS: tuple[Callable[[Rng, np.ndarray], None], ...] = (
    scratch,
    crack,
    stain,
    dent,
    dust,
    text,
    highlight,
    shadow,
)


def any_mark(rng: Rng, image: np.ndarray) -> None:
    """One mark of a random kind."""
    MARKS[rng.integers(len(MARKS))](rng, image)
