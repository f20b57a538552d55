"""How good drawn images are: kernel distance, precision, recall and coverage, in numpy.

All in the features of the backbone that ships with goodpart, averaged over a grid of 4 × 4 cells
and standardised by the real images. Figures compare generators on the same real images; they are
not comparable with published ones, which use another network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.backbones import load_backbone
from goodpart.detectors.base import PartPixels
from goodpart.detectors.features import CellFeatures
from goodpart.progress import Progress, track

CELLS = 4
NEIGHBOURS = 3
RESOLUTION = 128


class Describer:
    """From a part image to one vector.

    Parameters
    ----------
    size : (int, int)
        Height and width of the images.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._cells = CellFeatures(load_backbone("goodpart"), size, resolution=RESOLUTION)

    def __call__(
        self, images: Sequence[PartPixels], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Vectors (N, 16 · channels) of images (H, W) or (H, W, 3)."""
        listed = track(images, "describing", len(images), progress)
        return np.stack([self._describe(image) for image in listed])

    def _describe(self, image: PartPixels) -> NDArray[np.float32]:
        cells = self._cells(image)
        # Plane by plane: OpenCV takes no image of so many channels.
        planes = cells.transpose(2, 0, 1)
        small = [cv2.resize(p, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for p in planes]
        return np.asarray(small, np.float32).ravel()


@dataclass(frozen=True)
class Standard:
    """Mean and spread of the real images' vectors.

    Parameters
    ----------
    mean, spread : ndarray of float32, (D,)
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    @classmethod
    def of(cls, real: NDArray[np.float32]) -> Standard:
        """From vectors (N, D); a feature that hardly varies cannot dominate."""
        spread = real.std(axis=0)
        floor = max(float(np.median(spread)) * 0.1, 1e-6)
        return cls(real.mean(axis=0), np.maximum(spread, floor))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """In units of the real images' spread, divided by √D: distances do not grow with D."""
        scaled: NDArray[np.float32] = (vectors - self.mean) / self.spread
        return scaled / np.float32(np.sqrt(vectors.shape[1]))


def distances(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean distances (N, M) of vectors (N, D) and (M, D)."""
    wide, other = a.astype(np.float64), b.astype(np.float64)
    squared = (wide**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * wide @ other.T
    found: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return found


def kernel_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """KID: the unbiased squared maximum mean discrepancy with the kernel (x·y + 1)³.

    Binkowski, Sutherland, Arbel and Gretton, *Demystifying MMD GANs* (2018); right for small sets,
    where the Fréchet distance is biased. Vectors are those of :class:`Standard`, which divides by
    √D, so that x·y is their kernel's x·y / D.

    Returns
    -------
    float
        Around 0 for images of one distribution (it may be negative), larger for others.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("at least two vectors on each side")
    x, y = a.astype(np.float64), b.astype(np.float64)
    own = sum(_off_diagonal((v @ v.T + 1) ** 3) for v in (x, y))
    return float(own - 2 * ((x @ y.T + 1) ** 3).mean())


def _off_diagonal(kernel: NDArray[np.float64]) -> float:
    count = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def precision_recall(
    real: NDArray[Any], drawn: NDArray[Any], *, neighbours: int = NEIGHBOURS
) -> tuple[float, float, float]:
    """Precision, recall and coverage.

    Precision: share of drawn images inside the real ones' manifold (within the distance of some
    real image to its k-th neighbour). Recall: share of real images inside the drawn ones'
    (Kynkäänniemi et al., *Improved precision and recall metric*, 2019). Coverage: share of real
    images that have a drawn image within the distance of their own k-th neighbour (Naeem et al.,
    *Reliable fidelity and diversity metrics*, 2020).

    Parameters
    ----------
    real, drawn : ndarray (N, D), (M, D)
    neighbours : int

    Raises
    ------
    ValueError
        Not more vectors than neighbours on a side.
    """
    if min(len(real), len(drawn)) <= neighbours:
        raise ValueError(f"more than {neighbours} vectors are needed on each side")
    across = distances(drawn, real)
    real_reach = np.sort(distances(real, real), axis=1)[:, neighbours]
    drawn_reach = np.sort(distances(drawn, drawn), axis=1)[:, neighbours]
    precision = (across <= real_reach[None]).any(axis=1).mean()
    recall = (across <= drawn_reach[:, None]).any(axis=0).mean()
    coverage = (across.min(axis=0) <= real_reach).mean()
    return float(precision), float(recall), float(coverage)


def measure(
    real: NDArray[np.float32], drawn: NDArray[np.float32], *, seed: int = 0
) -> dict[str, float | int | None]:
    """The figures of the report; what cannot be had from so few images is ``None``.

    Parameters
    ----------
    real, drawn : ndarray of float32, (N, D), (M, D)
        Standardised.
    seed : int
        Of the halves of the real images that show what ``kid`` is between real images.
    """
    figures: dict[str, float | int | None] = {"real": len(real), "drawn": len(drawn)}
    enough = len(drawn) > NEIGHBOURS and len(real) > NEIGHBOURS
    figures["kid"] = kernel_distance(real, drawn) if enough else None
    rng = np.random.default_rng(seed)
    halves = [np.array_split(rng.permutation(len(real)), 2) for _ in range(20)]
    between = [kernel_distance(real[a], real[b]) for a, b in halves]
    figures["kid_between_real_halves"] = float(np.mean(between))
    found = precision_recall(real, drawn) if enough else (None, None, None)
    figures["precision"], figures["recall"], figures["coverage"] = found
    return figures
