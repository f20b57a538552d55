"""Codes of the real images: where among the noises a generator has to draw each of them.

The first principal components of the images, each with a variance of one, as the noise has it. A
drawing network that is tied to them (Bojanowski et al., *Optimizing the latent space of
generative networks*, 2018, with learned codes) shows parts after a few hundred steps, and none of
the real images is forgotten by it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Longer side in pixels: what makes images differ as a whole shows, and memory stays bounded.
_SIDE = 64


def codes_of(images: NDArray[Any], length: int) -> NDArray[np.float32]:
    """One code for each image.

    Parameters
    ----------
    images : ndarray of uint8, (N, H, W, C)
    length : int
        Of the noise.

    Returns
    -------
    ndarray of float32, (N, length)
        NaN where the images have no further component: noise belongs there.
    """
    rows = np.stack([_small(image) for image in images]).astype(np.float32)
    rows -= rows.mean(axis=0)
    # Of the small matrix of products: pixels are many, images few.
    values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
    order = np.argsort(values)[::-1][:length]
    order = order[values[order] > values.max() * 1e-6] if values.max() > 0 else order[:0]
    codes = np.full((len(images), length), np.nan, np.float32)
    codes[:, : len(order)] = vectors[:, order] * np.sqrt(len(images))
    return codes


def _small(image: NDArray[Any]) -> NDArray[Any]:
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)).ravel()
