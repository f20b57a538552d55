"""Find images that show the same picture: copied, re-encoded, turned, mirrored, with noise.

Parts of one kind all look alike, so plain perceptual hashes would call them all duplicates. Here
what they have in common (their mean and the few ways in which they mostly differ: light, place,
class) is taken off first. A hash of what is left, of what is individual in an image, finds
candidates quickly; its correlation and that of the whole pictures decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.progress import Progress, track

# Side in pixels of the pictures that are compared.
THUMBNAIL = 64
HASH_BITS = 256
# Of 256 bits. Unrelated images differ in 128 on average, those correlated by 0.85 in 45.
CANDIDATE_BITS = 64
# Copies that were halved, dimmed or saved as JPEG keep more than this of what is individual in
# them, different parts share less. Pictures of a texture that happen to lie alike may share as
# much: those the correlation of the whole tells apart.
INDIVIDUAL = 0.85
WHOLE = 0.96
COMPONENTS = 16
SAMPLE = 400
# Images of a class from which its mean is something that they have in common.
CLASS_SIZE = 4
# Where parts differ most (edges that lie a fraction of a pixel apart) counts no more than where
# they differ least; added to a place's deviation as a share of the mean one.
DEVIATION_FLOOR = 0.3
# Few images have nothing in common worth taking off; then only nearly equal pictures count.
FEW = 20
FEW_CORRELATION = 0.995

Vectors = NDArray[np.float32]

TURNS = (
    "",
    ", turned 90°",
    ", turned 180°",
    ", turned 270°",
    ", mirrored",
    ", mirrored and turned 90°",
    ", mirrored and turned 180°",
    ", mirrored and turned 270°",
)


@dataclass(frozen=True)
class Match:
    """Two images that show the same picture.

    Parameters
    ----------
    first, second : int
        Indices, the first lower.
    correlation : float
        Of the whole pictures without what all have in common on average, up to 1.
    turned : str
        How the second must be turned to fit the first; empty where it need not be.
    """

    first: int
    second: int
    correlation: float
    turned: str


class _Common:
    """What a set of pictures has in common: mean, principal components (PCA), class means."""

    def __init__(self, pictures: Vectors, labels: Sequence[str]) -> None:
        count, size = pictures.shape
        self.mean: Vectors = np.zeros(size, dtype=np.float32)
        self.components: Vectors = np.zeros((0, size), dtype=np.float32)
        self.weight: Vectors = np.ones(size, dtype=np.float32)
        self.whole, self.individual = FEW_CORRELATION, FEW_CORRELATION
        if count < FEW:
            return
        self.whole, self.individual = WHOLE, INDIVIDUAL
        self.mean = pictures.mean(axis=0)
        sample = pictures[:: -(-count // SAMPLE)] - self.mean
        deviation = sample.std(axis=0)
        self.weight = 1 / (deviation + DEVIATION_FLOOR * deviation.mean() + np.float32(1e-9))
        sample *= self.weight
        _, _, found = np.linalg.svd(sample, full_matrices=False)
        # Rare classes would not show among the components.
        sizes = Counter(labels)
        means = [
            pictures[[place for place, own in enumerate(labels) if own == label]].mean(axis=0)
            for label in sorted(sizes)
            if sizes[label] >= CLASS_SIZE
        ]
        rows = [*found[: min(COMPONENTS, len(sample) // 8)]]
        rows += [(mean - self.mean) * self.weight for mean in means]
        basis, scale, _ = np.linalg.svd(np.stack(rows).T, full_matrices=False)
        self.components = np.ascontiguousarray(basis[:, scale > 1e-3].T, dtype=np.float32)

    def split(self, pictures: Vectors) -> tuple[Vectors, Vectors]:
        """Unit vectors without the mean, and further without the components."""
        centered = pictures - self.mean
        weighted = centered * self.weight
        rest = weighted - (weighted @ self.components.T) @ self.components
        return _unit(centered), _unit(rest)


def thumbnail_of(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture to compare, uint8 (THUMBNAIL, THUMBNAIL), of grey levels 0..255 (H, W)."""
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small.round().astype(np.uint8))


def near_duplicates(
    thumbnails: NDArray[np.uint8], labels: Sequence[str], progress: Progress | None = None
) -> list[Match]:
    """Pairs of images that show the same picture.

    Parameters
    ----------
    thumbnails : ndarray of uint8, (N, S, S)
    labels : sequence of str
        Class of each: what a class has in common makes no two of it the same picture.
    progress : callable, optional

    Returns
    -------
    list of Match
        Sorted by correlation, highest first; each pair once, in its best turn.
    """
    count = len(thumbnails)
    if count < 2:
        return []
    upright = _pictures(thumbnails)
    common = _Common(upright, labels)
    whole, individual = common.split(upright)
    rng = np.random.default_rng(0)
    planes = rng.standard_normal((upright.shape[1], HASH_BITS), dtype=np.float32)
    hashes = _hash(individual, planes)
    best: dict[tuple[int, int], Match] = {}
    for turn, name in track(list(enumerate(TURNS)), "comparing", len(TURNS), progress):
        turned = np.rot90(thumbnails[:, :, ::-1] if turn >= 4 else thumbnails, turn % 4, (1, 2))
        # What is common is that of upright images: it is taken off after turning.
        whole_turned, rest_turned = common.split(_pictures(turned))
        first, second = _candidates(hashes, _hash(rest_turned, planes))
        for pairs in np.array_split(np.stack([first, second]), max(1, len(first) // 4096), axis=1):
            alike = _dot(individual[pairs[0]], rest_turned[pairs[1]])
            correlation = _dot(whole[pairs[0]], whole_turned[pairs[1]])
            kept = (alike >= common.individual) & (correlation >= common.whole)
            for i, j, value in zip(*pairs[:, kept].tolist(), correlation[kept], strict=True):
                known = best.get((i, j))
                if known is None or value > known.correlation + 1e-3:
                    best[i, j] = Match(i, j, min(float(value), 1.0), name)
    return sorted(best.values(), key=lambda match: (-match.correlation, match.first))


def joined(pairs: Iterable[tuple[int, int]], count: int) -> list[int]:
    """What pairs hold together, directly or by way of others.

    Parameters
    ----------
    pairs : iterable of (int, int)
        Indices below ``count``.

    Returns
    -------
    list of int
        For each index the lowest one that belongs with it.
    """
    lowest = list(range(count))

    def root(index: int) -> int:
        while lowest[index] != index:
            lowest[index] = lowest[lowest[index]]
            index = lowest[index]
        return index

    for first, second in pairs:
        one, other = sorted((root(first), root(second)))
        lowest[other] = one
    return [root(index) for index in range(count)]


def _pictures(thumbnails: NDArray[np.uint8]) -> Vectors:
    """Flat pictures without brightness and contrast."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    return _unit(flat - flat.mean(axis=1, keepdims=True))


def _unit(vectors: NDArray[Any]) -> Vectors:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-6), dtype=np.float32)


def _dot(first: Vectors, second: Vectors) -> NDArray[Any]:
    return np.einsum("ij,ij->i", first, second)


def _hash(vectors: Vectors, planes: Vectors) -> NDArray[np.uint64]:
    """Signs of random projections (Charikar, 2002): (N, 4) words of 64 bits."""
    bits = np.packbits(vectors @ planes > 0, axis=1)
    return np.ascontiguousarray(bits).view(np.uint64)


def _candidates(
    hashes: NDArray[np.uint64], others: NDArray[np.uint64], block: int = 256
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (i < j) whose hashes are near, block by block."""
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int64]] = []
    for start in range(0, len(hashes), block):
        own = hashes[start : start + block, None, :]
        distance = np.bitwise_count(own ^ others[None]).sum(axis=2, dtype=np.int32)
        first, second = np.nonzero(distance <= CANDIDATE_BITS)
        first += start
        kept = first < second
        rows.append(first[kept])
        columns.append(second[kept])
    return np.concatenate(rows), np.concatenate(columns)
