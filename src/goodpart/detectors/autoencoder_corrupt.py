"""Corruptions that a restoring autoencoder learns to undo: ragged patches of foreign content.

They follow natural synthetic anomalies (Schlüter et al. 2022) and DRAEM (Zavrtanik et al. 2021),
in a plainer form: a patch with a ragged, soft outline is filled from elsewhere (another part,
mirrored, with other contrast), made darker or brighter, filled with flat noise, or shifted. They
differ on purpose from :mod:`goodpart.parts.synthetic`, which choices are measured with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Extent of a patch as a share of the longer side, drawn evenly on a logarithmic scale.
EXTENT = (0.02, 0.22)
MOST_PATCHES = 4
# A pixel counts as corrupted where it changed by this many of its image's standard deviations.
VISIBLE = 0.15


def corrupt(
    image: Floats, donors: Sequence[Floats], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Corrupt an image in a few places.

    Parameters
    ----------
    image : ndarray of float32, (H, W, C)
        With zero mean and unit spread.
    donors : sequence of ndarray
        Images that patches are taken from, normalised likewise.
    rng : numpy.random.Generator

    Returns
    -------
    (corrupted, mask) : ndarray of float32, (H, W, C) and (H, W)
        The mask is 1 where the image visibly changed, else 0.
    """
    height, width = image.shape[:2]
    out = image.copy()
    touched = np.zeros((height, width), dtype=np.float32)
    for _ in range(int(rng.integers(1, MOST_PATCHES + 1))):
        low, high = (np.log(max(4.0, share * max(height, width))) for share in EXTENT)
        h, w = (int(min(np.exp(rng.uniform(low, high)), side - 1)) for side in (height, width))
        top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        window = (slice(top, top + h), slice(left, left + w))
        outline = _ragged(h, w, rng)
        strength = 1.0 if rng.random() < 0.6 else rng.uniform(0.4, 1.0)
        content = _content(out, window, donors, rng)
        out[window] += np.float32(strength) * outline[..., None] * (content - out[window])
        touched[window] = np.maximum(touched[window], outline)
    change = np.abs(out - image).max(axis=2)
    return out, ((change > VISIBLE) & (touched > 0.2)).astype(np.float32)


def _ragged(height: int, width: int, rng: np.random.Generator) -> Floats:
    """A soft-edged weight (H, W) in 0..1: an ellipse that coarse noise eats into."""
    grain = rng.standard_normal((height // 6 + 3, width // 6 + 3), dtype=np.float32)
    noise: Any = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    weight = 4 * (1 - rows**2 - columns**2 + np.float32(0.45) * noise)
    return np.clip(weight, 0, 1).astype(np.float32)


def _content(
    image: Floats,
    window: tuple[slice, slice],
    donors: Sequence[Floats],
    rng: np.random.Generator,
) -> Floats:
    """What a patch is filled with."""
    height, width = image.shape[:2]
    own = image[window]
    h, w = own.shape[:2]
    choice = rng.random()
    if choice < 0.5:
        donor = donors[int(rng.integers(len(donors)))]
        top, left = int(rng.integers(0, height - h)), int(rng.integers(0, width - w))
        found = donor[top : top + h, left : left + w]
        found = found[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]
        filled = found * rng.uniform(0.7, 1.3) + rng.normal(0, 0.3)
    elif choice < 0.75:
        filled = own + rng.choice([-1, 1]) * rng.uniform(0.4, 2.0)
    elif choice < 0.9:
        level = rng.uniform(float(image.min()), float(image.max()))
        filled = level + rng.normal(0, 0.3, own.shape)
    else:
        down, right = rng.integers(-6, 7, 2)
        rows = np.clip(np.arange(height)[window[0]] + down, 0, height - 1)
        columns = np.clip(np.arange(width)[window[1]] + right, 0, width - 1)
        filled = image[np.ix_(rows, columns)]
    return np.asarray(filled, dtype=np.float32)
