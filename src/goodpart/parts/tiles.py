"""Tiles with overlap: a large part image in pieces of one size, and their maps put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Tiles begin at multiples of this, so that score maps of detectors with a stride up to it fit
# together without resampling.
STEP = 16


class Tile(NamedTuple):
    """Upper left corner of a tile in the part image, and its side lengths."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """The tile's pixels."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def tiles_of(size: tuple[int, int], side: int, overlap: float) -> list[Tile]:
    """Tiles that cover a part image, all of one size.

    Parameters
    ----------
    size : (int, int)
        Height and width of the part image, multiples of ``STEP``.
    side : int
        Of a tile, a multiple of ``STEP``; less where the part image is smaller.
    overlap : float
        Least share of a tile that it has in common with the next, 0..0.5.
    """
    tops, height = _starts(size[0], side, overlap)
    lefts, width = _starts(size[1], side, overlap)
    return [Tile(top, left, height, width) for top in tops for left in lefts]


def _starts(length: int, side: int, overlap: float) -> tuple[list[int], int]:
    if length <= side:
        return [0], length
    count = 1 + int(np.ceil((length - side) / (side * (1 - overlap)) - 1e-9))
    steps = np.linspace(0, (length - side) // STEP, count).round().astype(int)
    return [int(step) * STEP for step in steps[:-1]] + [length - side], side


def put_together(
    maps: Sequence[NDArray[np.float32] | None], tiles: Sequence[Tile], size: tuple[int, int]
) -> NDArray[np.float32]:
    """One score map of the part image from those of its tiles.

    Where tiles overlap, the one whose middle is nearer counts: a detector sees least at the edge.

    Parameters
    ----------
    maps : sequence of ndarray of float32, (h, w), or None
        Of one size; ``None`` for tiles in which nothing counts, they become 0.
    tiles : sequence of Tile
    size : (int, int)
        Height and width of the part image.
    """
    shape = next(found.shape for found in maps if found is not None)
    down, across = shape[0] / tiles[0].height, shape[1] / tiles[0].width
    whole = np.zeros((round(size[0] * down), round(size[1] * across)), dtype=np.float32)
    nearest = np.full(whole.shape, np.inf, dtype=np.float32)
    rows = np.abs(np.arange(shape[0]) - (shape[0] - 1) / 2) / shape[0]
    columns = np.abs(np.arange(shape[1]) - (shape[1] - 1) / 2) / shape[1]
    distance = np.maximum.outer(rows, columns).astype(np.float32)
    for found, tile in zip(maps, tiles, strict=True):
        top = min(round(tile.top * down), whole.shape[0] - shape[0])
        left = min(round(tile.left * across), whole.shape[1] - shape[1])
        place = np.s_[top : top + shape[0], left : left + shape[1]]
        nearer = distance < nearest[place]
        nearest[place][nearer] = distance[nearer]
        whole[place][nearer] = 0 if found is None else found[nearer]
    return whole
