"""Augmentation as pure functions: quarter turns, mirror images, noise, brightness, blur.

What the trainers feed their networks and what the verb ``augment`` writes come from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ROTATIONS = (0, 90, 180, 270)
NOISE = 0.05


@dataclass(frozen=True)
class Variant:
    """One augmented copy of an image.

    Parameters
    ----------
    name : str
        What was done, for file names: ``"original"``, ``"rotated_090_noisy"``.
    pixels : ndarray
        Same type as the image; height and width change places at 90° and 270°.
    """

    name: str
    pixels: NDArray[Any]


def rotate(pixels: NDArray[Any], degrees: int) -> NDArray[Any]:
    """Turn counter-clockwise without resampling.

    Parameters
    ----------
    pixels : ndarray, (H, W) or (H, W, C)
    degrees : int
        A multiple of 90.

    Raises
    ------
    ValueError
        Any other angle.
    """
    if degrees % 90:
        raise ValueError(f"rotate turns by multiples of 90 degrees, not by {degrees}")
    return np.ascontiguousarray(np.rot90(pixels, degrees // 90))


def add_noise(pixels: NDArray[Any], rng: np.random.Generator, sigma: float = NOISE) -> NDArray[Any]:
    """Add Gaussian noise, clamped to the range 0..255.

    Parameters
    ----------
    pixels : ndarray of uint8, or float32 0..255
    rng : numpy.random.Generator
    sigma : float
        Standard deviation as a share of the full range.
    """
    noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(sigma * 255)
    return _like(pixels.astype(np.float32) + noise, pixels)


def brighten(pixels: NDArray[Any], gain: float, offset: float = 0.0) -> NDArray[Any]:
    """Multiply by ``gain`` and add ``offset`` (share of the full range), clamped."""
    return _like(pixels.astype(np.float32) * np.float32(gain) + np.float32(offset * 255), pixels)


def blur(pixels: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Gaussian blur, ``sigma`` in pixels."""
    blurred: Any = cv2.GaussianBlur(pixels, (0, 0), sigma)
    return np.asarray(blurred)


def variants(
    pixels: NDArray[Any],
    rng: np.random.Generator,
    *,
    rotations: Sequence[int] = ROTATIONS,
    noise: float = NOISE,
    mirror: bool = False,
    gains: Sequence[float] = (),
    blurs: Sequence[float] = (),
) -> Iterator[Variant]:
    """The rotations, each clean and noisy, and whatever else is asked for.

    Parameters
    ----------
    pixels : ndarray of uint8, or float32 0..255; (H, W) or (H, W, 3)
    rng : numpy.random.Generator
        For the noise.
    rotations : sequence of int
        Multiples of 90°; 0 is the original itself.
    noise : float
        Standard deviation as a share of the full range; 0: no noisy copies.
    mirror : bool
        Also mirror images of each rotation.
    gains : sequence of float
        Also the original at these brightnesses, such as ``(0.9, 1.1)``.
    blurs : sequence of float
        Also the original blurred with these sigmas in pixels.

    Yields
    ------
    Variant
        ``original``, ``noisy``, ``rotated_090``, ``rotated_090_noisy``, ...
    """
    for degrees in rotations:
        turned = rotate(pixels, degrees)
        stem = f"rotated_{degrees % 360:03d}" if degrees % 360 else ""
        yield Variant(stem or "original", turned)
        if noise > 0:
            name = f"{stem}_noisy" if stem else "noisy"
            yield Variant(name, add_noise(turned, rng, noise))
        if mirror:
            flipped = np.ascontiguousarray(turned[:, ::-1])
            yield Variant(f"{stem}_mirrored" if stem else "mirrored", flipped)
    for gain in gains:
        yield Variant(f"brightness_{round(gain * 100):03d}", brighten(pixels, gain))
    for sigma in blurs:
        yield Variant(f"blurred_{sigma:g}", blur(pixels, sigma))


def _like(values: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    clamped = np.clip(values, 0, 255)
    if pixels.dtype == np.uint8:
        return np.round(clamped).astype(np.uint8)
    return clamped.astype(pixels.dtype)
