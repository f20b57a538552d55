"""Quarter turns of good parts, where parts lie in any orientation.

A part that lies any way shows at each place what its other places show: each good image tells as
much as four. Held-out distances leave out an image with all its turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.base import HeldOut, PartPixels
from goodpart.parts.augment import ROTATIONS, rotate

TURNS = len(ROTATIONS)
# Images that are looked at to tell, and the side they are looked at.
_SAMPLE, _SIDE = 64, 96


class Turned(Sequence[PartPixels]):
    """Images and their quarter turns: four after each other for each image, which is read once."""

    def __init__(self, images: Sequence[PartPixels]) -> None:
        self._images = images
        self._last: tuple[int, PartPixels] | None = None

    def __len__(self) -> int:
        return TURNS * len(self._images)

    @overload
    def __getitem__(self, index: int) -> PartPixels: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[PartPixels]: ...

    def __getitem__(self, index: int | slice) -> PartPixels | Sequence[PartPixels]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        source, turn = divmod(index, TURNS)
        if self._last is None or self._last[0] != source:
            self._last = (source, self._images[source])
        return rotate(self._last[1], ROTATIONS[turn])


def turned(images: Sequence[PartPixels], turns: bool) -> Sequence[PartPixels]:
    """:class:`Turned` images where ``turns`` says so, else the images."""
    return Turned(images) if turns else images


def unturned(held_out: Sequence[HeldOut]) -> list[HeldOut]:
    """The maps of the images themselves, of those of :class:`Turned` ones."""
    return [HeldOut(h.index // TURNS, h.raw_map) for h in held_out if h.index % TURNS == 0]


def lie_any_way(images: Sequence[PartPixels], mask: NDArray[np.bool_] | None) -> bool:
    """Whether good parts lie in any orientation; up to 64 of them are read.

    Parameters
    ----------
    images : sequence of ndarray, (H, W) or (H, W, 3)
    mask : ndarray of bool, (H, W), optional
        True where pixels count.
    """
    height, width = images[0].shape[:2]
    if height != width or (mask is not None and (mask != np.rot90(mask)).mean() > 0.01):
        return False
    chosen = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
    seen = []
    for index in chosen:
        image = images[int(index)].astype(np.float32)
        small: Any = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        seen.append(small.reshape(_SIDE, _SIDE, -1))
    if mask is not None:
        part: Any = cv2.resize(
            mask.astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA
        )
        seen = [np.where((part >= 0.999)[..., None], small, 0.0) for small in seen]
    return looks_alike_turned(seen)


def looks_alike_turned(images: Sequence[NDArray[Any]]) -> bool:
    """Whether quarter turns of these parts look like other parts: they may then be shown turned.

    Parts that lie in any orientation have a mean image that equals its own quarter turn but for
    chance; a mark that always sits at the same place does not.

    Parameters
    ----------
    images : sequence of ndarray, (H, W, C)
    """
    if images[0].shape[0] != images[0].shape[1]:
        return False
    count = len(images)
    total = np.zeros(images[0].shape, dtype=np.float64)
    squares = np.zeros_like(total)
    for image in images:
        total += image
        squares += np.square(image, dtype=np.float64)
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    deviation = np.maximum(deviation, np.rot90(deviation)) + 0.05 * (
        float(images[0].std(dtype=np.float64)) + 1e-6
    )
    apart = np.abs(mean - np.rot90(mean)) / deviation
    return bool(np.quantile(apart, 0.999) < 1.0 + 4.0 * np.sqrt(2.0 / count))
