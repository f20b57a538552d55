"""Covariances turned into distances: shrinkage, whitening, and what is left without an image.

The mathematics of :mod:`.cell_gaussians`, for one place at a time; sources stand at each function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def whitening_of(
    covariance: NDArray[Any], images: int, ridge: float
) -> tuple[NDArray[np.float32], float]:
    """Whitening (channels, channels) for a covariance, and the shrinkage used.

    ``|centered @ whitening|`` is the Mahalanobis distance. In double precision: where one
    source makes most of a direction's variance, what is left without it is a small
    difference of large numbers.

    Parameters
    ----------
    covariance : ndarray, (channels, channels)
    images : int
        Number of images behind it.
    ridge : float
        Least shrinkage, 0..1.
    """
    covariance = covariance.astype(np.float64)
    channels = len(covariance)
    level = float(np.trace(covariance)) / channels
    if level <= 0:
        # A place without any variation, such as a saturated background.
        return np.eye(channels, dtype=np.float32), 1.0
    weight = max(ridge, oas_shrinkage(covariance, images))
    shrunk = (1 - weight) * covariance
    shrunk.flat[:: channels + 1] += weight * level
    lower = np.linalg.cholesky(shrunk)
    return np.linalg.inv(lower).T.astype(np.float32), weight


def in_half(whitening: NDArray[np.float32]) -> NDArray[np.float16]:
    """A whitening matrix as it is kept.

    Where hardly anything varies it is very large: as large as half precision holds tells as much.
    """
    most = float(np.finfo(np.float16).max)
    return np.clip(whitening, -most, most).astype(np.float16)


class Triangles:
    """Upper triangular matrices, without a quarter that is zero.

    Multiplying by them is bound by reading them: less to read is less time.

    Parameters
    ----------
    matrices : ndarray of float32, (n, channels, channels)
    """

    def __init__(self, matrices: NDArray[np.float32]) -> None:
        self._half = matrices.shape[1] // 2
        self._left = np.ascontiguousarray(matrices[:, : self._half, : self._half])
        self._right = np.ascontiguousarray(matrices[:, :, self._half :])

    def norms(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Lengths (n, k) of vectors (n, k, channels) times their matrices."""
        left = np.matmul(vectors[..., : self._half], self._left)
        right = np.matmul(vectors, self._right)
        squared = np.einsum("...i,...i->...", left, left)
        squared += np.einsum("...i,...i->...", right, right)
        return np.sqrt(squared)


def left_out(white: NDArray[np.float32], images: int, weight: float = 0.0) -> NDArray[np.float32]:
    """Mahalanobis distances of images by the model without their own source.

    Parameters
    ----------
    white : ndarray of float32, (groups, k, cells, channels)
        Whitened deviations from the mean, for groups of ``k`` images of one source each.
    images : int
        Number of all images, N.
    weight : float
        The shrinkage of the covariance, 0..1.

    Returns
    -------
    ndarray of float32, (groups, k, cells)
        Without a group the mean of cell c moves by ``s_c / (N - k)``, where ``s_c`` is the sum of
        its deviations, and the scatter loses ``U' U`` with the rows ``r`` of the group and
        ``s_c / sqrt(N - k)``; the inverse follows by Woodbury's identity. The shrinkage target is
        kept. With N = k + 1 and more this is the leave-one-out distance that a new fit would give.
    """
    groups, k, cells, channels = white.shape
    rest = images - k
    total = white.sum(axis=1, keepdims=True)
    query = white + total / rest
    removed = np.concatenate([white, total / np.sqrt(rest)], axis=1)
    removed = removed.reshape(groups, (k + 1) * cells, channels)
    flat = query.reshape(groups, k * cells, channels)
    gram = removed @ removed.transpose(0, 2, 1)
    cross = flat @ removed.transpose(0, 2, 1)
    scale = images * cells / max(1.0 - weight, 1e-6)
    inner = scale * np.eye(gram.shape[1], dtype=np.float64) - gram
    gain = np.einsum("gqr,grq->gq", cross, np.linalg.solve(inner, cross.transpose(0, 2, 1)))
    squared = np.einsum("gqc,gqc->gq", flat, flat) + gain
    squared *= rest / images
    return np.sqrt(np.maximum(squared, 0)).astype(np.float32).reshape(groups, k, cells)


def unshrunk(whitening: NDArray[np.float32], weight: float) -> NDArray[np.float64]:
    """The covariance behind a whitening matrix with this shrinkage, (channels, channels).

    Shrinking keeps the trace, so what was shrunk to is known. Where everything was shrunk away,
    the multiple of the identity is all that is left.
    """
    channels = len(whitening)
    identity = np.eye(channels)
    if weight >= 1 and np.array_equal(whitening, identity):
        return np.zeros_like(identity)  # a place without any variation
    lower = np.linalg.inv(whitening.astype(np.float64)).T
    shrunk = lower @ lower.T
    if weight >= 1:
        return shrunk
    return (shrunk - weight * np.trace(shrunk) / channels * identity) / (1 - weight)


def oas_shrinkage(covariance: NDArray[np.floating[Any]], samples: int) -> float:
    """Oracle-approximating shrinkage of a sample covariance towards a multiple of the identity.

    Parameters
    ----------
    covariance : ndarray, (p, p)
    samples : int
        Independent observations behind it.

    Returns
    -------
    float
        0..1. Chen et al. (2010), equation 23.
    """
    size = covariance.shape[0]
    trace = float(np.trace(covariance))
    square = float(np.square(covariance, dtype=np.float64).sum())
    above = (1 - 2 / size) * square + trace**2
    below = (samples + 1 - 2 / size) * (square - trace**2 / size)
    return 1.0 if below <= 0 else min(1.0, above / below)
