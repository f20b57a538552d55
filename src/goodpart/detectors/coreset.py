"""A bank of features, chosen to cover many, and the distance to the nearest of them.

After Roth, Pemula, Zepeda, Schölkopf, Brox and Gehler, *Towards total recall in industrial anomaly
detection* (PatchCore, 2022). The search is exact: one matrix product, with the bank's norms in it,
and its least values. onnxruntime computes them, with as many threads as the backbone and without
spinning: a second thread of numpy's own would go on spinning after its work, on the core that the
backbone waits for.

``product.onnx`` and ``nearest.onnx`` beside this module are a product of two inputs, and a product
and its minimum; their bytes are those that the test of this module builds with the ``onnx``
package.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.engine import Network
from goodpart.detectors.score_graph import ScoreGraph
from goodpart.progress import Progress, silent

# Dimensions in which the coreset is chosen: distances in a random projection are nearly those of
# the features (Johnson and Lindenstrauss), at a fraction of the time.
PROJECTED = 32


class Bank:
    """Features to be near to.

    Parameters
    ----------
    features : ndarray of floats, (n, channels)
        Kept in half precision, so that a loaded model gives the same distances.
    """

    def __init__(self, features: NDArray[np.floating]) -> None:
        self.features: NDArray[np.float16] = features.astype(np.float16)
        values = self.features.astype(np.float32)
        self._norms = np.einsum("ij,ij->i", values, values)
        # |a - b|² = |a|² - 2ab + |b|²: with the norms as a last row, the part that depends on b
        # is one product with (a, 1).
        self._table = np.concatenate([-2 * values.T, self._norms[None]])

    def __len__(self) -> int:
        return len(self.features)

    def distance(
        self, features: NDArray[np.float32], allowed: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Euclidean distance to the nearest feature of the bank.

        Parameters
        ----------
        features : ndarray of float32, (..., channels)
        allowed : ndarray of bool, (n,), optional
            Which of the bank count; where none would, all do.

        Returns
        -------
        ndarray of float32, (...)
        """
        table = self._table
        if allowed is not None and allowed.any():
            table = table[:, allowed]
        flat = features.reshape(-1, features.shape[-1])
        with_one = np.concatenate([flat, np.ones((len(flat), 1), np.float32)], axis=1)
        (nearest,) = _network("nearest.onnx")(with_one, table)
        squared = np.einsum("ij,ij->i", flat, flat) + nearest
        return np.sqrt(np.maximum(squared, 0)).reshape(features.shape[:-1])

    def export(self, graph: ScoreGraph, flat: str) -> str:
        """Add :meth:`distance` to a graph, for features (m, channels)."""
        product = graph.node("MatMul", [flat, graph.constant(self.features.T, np.float16)])
        nearest = graph.reduce("Min", graph.add(graph.multiply(product, -2), self._norms), 1)
        own = graph.reduce("Sum", graph.node("Mul", [flat, flat]), 1)
        squared = graph.node("Relu", [graph.node("Add", [own, nearest])])
        return graph.node("Sqrt", [squared])


def product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    """The product of two matrices (m, c) and (c, n), by onnxruntime."""
    (found,) = _network("product.onnx")(left, right)
    return found


@cache
def _network(name: str) -> Network:
    return Network((files(__package__) / name).read_bytes())


def greedy_coreset(
    features: NDArray[np.float32],
    size: int,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> NDArray[np.intp]:
    """Choose features so that none is far from a chosen one (k-centre greedy).

    Parameters
    ----------
    features : ndarray of float32, (n, channels)
    size : int
        How many to choose, at most n.
    rng : Generator

    Returns
    -------
    ndarray of int, (size,)
        Gonzalez (1985): within twice the best possible radius, here in a random projection.
        Norms are computed once; each step is one matrix-vector product.
    """
    count, channels = features.shape
    size = min(size, count)
    if size == count:
        return np.arange(count)
    projection = rng.normal(size=(channels, PROJECTED)).astype(np.float32) / np.sqrt(PROJECTED)
    low = features @ projection
    norms = np.einsum("ij,ij->i", low, low)
    chosen = np.empty(size, dtype=np.intp)
    chosen[0] = rng.integers(count)
    nearest = np.full(count, np.inf, np.float32)
    for step in range(size):
        if step % 100 == 0:
            progress("choosing", step, size)
        current = chosen[step]
        np.minimum(nearest, norms - 2 * (low @ low[current]) + norms[current], out=nearest)
        nearest[current] = -np.inf
        if step + 1 < size:
            chosen[step + 1] = int(nearest.argmax())
    progress("choosing", size, size)
    return chosen
