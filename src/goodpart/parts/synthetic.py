"""Synthetic defects on good part images, with masks: for choosing between detectors.

Where no defective image may be looked at, a choice still needs something to find. These defects
are crude on purpose and of several kinds, so that a detector does well only by noticing whatever
differs; they never set limits and never stand in a test.

Sources of the ideas: cut-paste, Li et al., *CutPaste* (2021); patches of other images, Schlüter
et al., *Natural synthetic anomalies* (2022); the other kinds draw what cameras see on metal parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

Kind = Literal["scratch", "blob", "stain", "cutpaste", "deform"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# A pixel belongs to the mask where the image changed by more than this many grey levels.
VISIBLE = 4.0
_TRIES = 12


@dataclass(frozen=True)
class SyntheticDefect:
    """A good image with a defect drawn into it.

    Parameters
    ----------
    pixels : ndarray, same shape and type as the image
    mask : ndarray of bool, (H, W)
        Where it visibly changed.
    kind : str
    """

    pixels: NDArray[Any]
    mask: NDArray[np.bool_]
    kind: Kind


def add_defect(
    pixels: NDArray[Any],
    rng: np.random.Generator,
    *,
    kind: Kind | None = None,
    within: NDArray[np.bool_] | None = None,
    size: tuple[float, float] = (0.02, 0.12),
) -> SyntheticDefect:
    """Draw one defect.

    Parameters
    ----------
    pixels : ndarray of uint8, or float32 0..255; (H, W) or (H, W, 3)
    rng : numpy.random.Generator
    kind : str, optional
        One of :data:`KINDS`; by default drawn.
    within : ndarray of bool, (H, W), optional
        Where the middle of the defect may lie.
    size : (float, float)
        Smallest and largest extent, as a share of the longer side (scratches are up to three
        times as long).

    Raises
    ------
    ValueError
        An unknown kind, or a mask without any place.
    """
    chosen = kind or KINDS[int(rng.integers(len(KINDS)))]
    if chosen not in _DRAW:
        raise ValueError(f"no synthetic defect is called {chosen!r}; there are: {', '.join(KINDS)}")
    image = pixels.astype(np.float32)
    best: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    for _ in range(_TRIES):
        extent = rng.uniform(*size) * max(pixels.shape[:2])
        defective = _DRAW[chosen](image, _place(image, rng, within), max(extent, 3.0), rng)
        defective = np.clip(defective, 0, 255)
        if pixels.dtype == np.uint8:
            defective = np.round(defective)
        change = np.abs(defective - image)
        mask = (change if change.ndim == 2 else change.max(axis=2)) > VISIBLE
        if best is None or mask.sum() > best[1].sum():
            best = (defective, mask)
        # A patch of flat background pasted on flat background shows nothing: try elsewhere.
        if mask.sum() >= max(6.0, 0.1 * extent):
            break
    assert best is not None
    return SyntheticDefect(best[0].astype(pixels.dtype), best[1], chosen)


def _place(
    image: NDArray[Any], rng: np.random.Generator, within: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Where the middle of the defect lies, (x, y)."""
    height, width = image.shape[:2]
    if within is None:
        return float(rng.uniform(0.1, 0.9) * width), float(rng.uniform(0.1, 0.9) * height)
    rows, columns = np.nonzero(within)
    if rows.size == 0:
        raise ValueError("a mask without any true pixel leaves no place for a defect")
    index = int(rng.integers(rows.size))
    return float(columns[index]), float(rows[index])


def _scratch(
    image: NDArray[Any], at: tuple[float, float], extent: float, rng: np.random.Generator
) -> NDArray[Any]:
    """A thin bent line, brighter or darker."""
    length = extent * rng.uniform(1.5, 3.0)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.linspace(-length / 2, length / 2, 24)
    across = rng.normal(0, length / 12) * (1 - (2 * along / length) ** 2)
    x = at[0] + along * np.cos(angle) - across * np.sin(angle)
    y = at[1] + along * np.sin(angle) + across * np.cos(angle)
    line = np.zeros(image.shape[:2], dtype=np.uint8)
    points = np.round(np.stack([x, y], axis=1) * 8).astype(np.int32).reshape(-1, 1, 2)
    thickness = int(rng.integers(1, 2 + max(1, max(image.shape) // 200)))
    cv2.polylines(line, [points], False, 255, thickness, cv2.LINE_AA, shift=3)
    return image + _spread(line.astype(np.float32) / 255, image) * _contrast(rng)


def _blob(
    image: NDArray[Any], at: tuple[float, float], extent: float, rng: np.random.Generator
) -> NDArray[Any]:
    """A pit or a grain: ragged, dark with a lit edge."""
    shape = _ragged(image, at, extent / 2, rng)
    edge: Any = cv2.GaussianBlur(shape, (0, 0), max(1.0, extent / 12))
    shifted = np.roll(edge, int(max(1, extent / 12)), axis=int(rng.integers(2)))
    light = _spread(shape, image) * _contrast(rng)
    return image + light + _spread(shape * (edge - shifted), image) * 60


def _stain(
    image: NDArray[Any], at: tuple[float, float], extent: float, rng: np.random.Generator
) -> NDArray[Any]:
    """A soft-edged area whose brightness is scaled."""
    soft: Any = cv2.GaussianBlur(_ragged(image, at, extent, rng), (0, 0), max(1.0, extent / 6))
    gain = rng.uniform(0.4, 0.8) if rng.random() < 0.7 else rng.uniform(1.2, 1.6)
    return image * (1 + _spread(soft, image) * (gain - 1))


def _cutpaste(
    image: NDArray[Any], at: tuple[float, float], extent: float, rng: np.random.Generator
) -> NDArray[Any]:
    """A patch from elsewhere in the same image, turned."""
    height, width = image.shape[:2]
    angle, start = rng.uniform(-180, 180), _place(image, rng, None)
    matrix = cv2.getRotationMatrix2D(start, angle, 1.0)
    matrix[:, 2] += np.array(at) - np.array(start)
    moved: Any = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    shape = _spread(_ragged(image, at, extent * 0.7, rng), image)
    return image + shape * (moved - image)


def _deform(
    image: NDArray[Any], at: tuple[float, float], extent: float, rng: np.random.Generator
) -> NDArray[Any]:
    """A local push, as a bent edge shows."""
    height, width = image.shape[:2]
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    radius = extent * 1.2
    falloff = np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / (2 * radius**2))
    angle = rng.uniform(0, 2 * np.pi)
    push = extent * rng.uniform(0.4, 0.8)
    moved: Any = cv2.remap(
        image,
        (columns - falloff * push * np.cos(angle)).astype(np.float32),
        (rows - falloff * push * np.sin(angle)).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(moved)


def _ragged(
    image: NDArray[Any], at: tuple[float, float], radius: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A filled closed curve of random outline: float32 (H, W), 0..1 with a smoothed border."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.ones_like(angles)
    for order in range(2, 7):
        radii += rng.normal(0, 0.35 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    radii = np.clip(radii, 0.3, 1.8) * radius
    stretch = rng.uniform(0.6, 1.0)
    x, y = at[0] + radii * np.cos(angles), at[1] + radii * np.sin(angles) * stretch
    points = np.round(np.stack([x, y], axis=1) * 8).astype(np.int32).reshape(-1, 1, 2)
    filled = np.zeros(image.shape[:2], dtype=np.uint8)
    cv2.fillPoly(filled, [points], 255, cv2.LINE_AA, shift=3)
    return np.asarray(filled, dtype=np.float32) / np.float32(255)


def _contrast(rng: np.random.Generator) -> float:
    """Grey levels to add: clearly visible, darker as often as brighter."""
    return float(rng.uniform(25, 90) * rng.choice([-1.0, 1.0]))


def _spread(shape: NDArray[Any], image: NDArray[Any]) -> NDArray[Any]:
    """A (H, W) weight as it multiplies the image, grey or colour."""
    return shape if image.ndim == 2 else shape[..., None]


_Draw = Callable[[NDArray[Any], tuple[float, float], float, np.random.Generator], NDArray[Any]]
_DRAW: dict[str, _Draw] = {
    "scratch": _scratch,
    "blob": _blob,
    "stain": _stain,
    "cutpaste": _cutpaste,
    "deform": _deform,
}
