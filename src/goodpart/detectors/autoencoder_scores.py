"""The seed's heatmap and scores: grey-level differences between image and reconstruction.

``variance`` is the score as it was meant, ``wrapped`` as the original program computed it; the
latter is kept under its name alone, to compare with old results.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Differences up to this many grey levels do not count in the two scores.
LEVEL = 100.0
# The original called a wrapped score of at most this Good. It means nothing for other scores.
WRAPPED_LIMIT = 13.0
# Stands for the original's "no difference above 100", which it called Bad: above every variance
# that numbers between 101 and 255 can have (77² = 5929).
WRAPPED_NONE = 65025.0


def heatmap(image: Bytes, reconstruction: NDArray[Any]) -> NDArray[np.float32]:
    """Absolute grey-level difference.

    Parameters
    ----------
    image : ndarray of uint8, (H, W)
    reconstruction : ndarray of float, (H, W)
        Nominally 0..1; clamped to that before it becomes 8 bit.

    Returns
    -------
    ndarray of float32, (H, W)
        Whole numbers 0..255.
    """
    restored = np.rint(np.clip(reconstruction, 0, 1) * 255).astype(np.int16)
    return np.abs(image.astype(np.int16) - restored).astype(np.float32)


def variance_score(differences: NDArray[np.float32]) -> float:
    """Variance of the differences above 100; 0 where there are none."""
    large = differences[differences > LEVEL]
    return float(large.var(dtype=np.float64)) if large.size else 0.0


def wrapped_heatmap(image: Bytes, reconstruction: NDArray[Any]) -> NDArray[np.float32]:
    """The original's difference, which wraps round twice.

    The reconstruction goes to 8 bit without a clamp, so that values below 0 and above 1 wrap;
    then 8-bit numbers are subtracted, so that differences below zero wrap again.
    """
    cast = (reconstruction * 255).astype(np.int64).astype(np.uint8)
    return np.subtract(image, cast, dtype=np.uint8).astype(np.float32)


def wrapped_score(differences: NDArray[np.float32]) -> float:
    """Variance of the wrapped differences above 100; :data:`WRAPPED_NONE` where there are none."""
    large = differences[differences > LEVEL]
    return float(large.var(dtype=np.float64)) if large.size else WRAPPED_NONE
