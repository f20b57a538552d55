"""How part images become what the autoencoder's networks see, and who learns from which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.detectors.autoencoder_presets import BLOCK, Configuration
from goodpart.detectors.base import PartPixels
from goodpart.errors import DataError, ImageError
from goodpart.parts.dataset import folds, load_dataset
from goodpart.parts.read import read_image
from goodpart.parts.road import resize_part

if TYPE_CHECKING:
    from goodpart.detectors.score_graph import ScoreGraph

Shape = tuple[int, int, int]

# From this many good images on, a part of its own decides which epoch was best; with fewer there
# is none to spare (unless ``patience`` asks for it), and the last epoch is taken.
ENOUGH_FOR_THREE = 50
# Images of the left-out fold whose loss is watched while training: for the curve alone.
WATCHED = 24
# Grey levels added to an image's spread: a nearly empty image is not blown up to full contrast.
_SPREAD_FLOOR = 8.0


@dataclass(frozen=True)
class Splits:
    """Indices of the images for each network.

    Parameters
    ----------
    learned : list of list of int
        Learned from.
    watched : list of list of int
        Their loss is followed while training.
    held_out : list of list of int
        Never learned from: for statistics and limits.
    may_stop : bool
        Whether the watched images may decide when training stops.
    guarantee : str
        See :class:`goodpart.detectors.Detector`.
    """

    learned: list[list[int]]
    watched: list[list[int]]
    held_out: list[list[int]]
    may_stop: bool
    guarantee: str


def split(sources: Sequence[str], made: Configuration) -> Splits:
    """Who learns from which images: everything of one source stays together.

    With several networks each leaves one fold out, whose parts it then scores; nothing is stopped
    early, so those scores are honest. With one network, two tenths of the sources set limits, and
    another tenth (from 50 images on, or where ``patience`` is set) says which epoch was best.

    Raises
    ------
    DataError
        Too few sources: to compare with takes two, or one for the seed, which compares each part
        with itself alone.
    """
    count = len(set(sources))
    compared = 1 if made.network == "seed" else 2
    needed = compared * 2 if made.networks > 1 else compared + 1
    if count < needed:
        raise DataError(
            f"the autoencoder needs good images of at least {needed} sources, some to learn from "
            f"and some to compare with; there are {count}"
        )
    if made.networks > 1:
        networks = min(made.networks, count // compared)
        return _crossed(sources, networks, stop=made.patience is not None)
    fold_of = folds(sources, min(10, count))
    held_folds = {0, 1} if count >= 10 else set(range(compared))
    stops = count > needed and (len(sources) >= ENOUGH_FOR_THREE or made.patience is not None)
    stop_folds = {len(held_folds)} if stops else set()
    held = [i for i, fold in enumerate(fold_of) if fold in held_folds]
    watched = [i for i, fold in enumerate(fold_of) if fold in stop_folds] or held[:WATCHED]
    learned = [i for i, fold in enumerate(fold_of) if fold not in held_folds | stop_folds]
    return Splits([learned], [watched], [held], stops, "split")


def _crossed(sources: Sequence[str], networks: int, *, stop: bool) -> Splits:
    fold_of = folds(sources, networks)
    found = Splits([], [], [], stop, "cross-fitted")
    for number in range(networks):
        held = [i for i, fold in enumerate(fold_of) if fold == number]
        learned = [i for i, fold in enumerate(fold_of) if fold != number]
        watched = held[:WATCHED]
        if stop:
            # The left-out fold must not decide when to stop: a part of the others does.
            tenth = folds([sources[i] for i in learned], min(10, len(learned)))
            watched = [i for i, fold in zip(learned, tenth, strict=True) if fold == 0]
            learned = [i for i, fold in zip(learned, tenth, strict=True) if fold != 0] or learned
        found.learned.append(learned)
        found.watched.append(watched)
        found.held_out.append(held)
    return found


def common_shape(image: PartPixels, made: Configuration) -> Shape:
    """Channels, height and width of what the network sees."""
    if made.network == "seed":
        return (1, made.size, made.size)
    height, width = image.shape[:2]
    multiple = BLOCK * 2 ** (len(made.widths) - 1)
    scale = made.size / max(height, width)
    sides = [max(multiple, round(side * scale / multiple) * multiple) for side in (height, width)]
    return (1 if image.ndim == 2 else 3, sides[0], sides[1])


def prepare(
    image: PartPixels, shape: Shape, made: Configuration, mask: NDArray[np.bool_] | None
) -> NDArray[Any]:
    """A part image as a network takes it.

    Parameters
    ----------
    image : ndarray of uint8, or float32 0..255; (H, W) or (H, W, 3) RGB
    shape : (int, int, int)
        Channels, height, width.
    made : Configuration
    mask : ndarray of bool, (height, width), optional
        True where pixels count for the normalisation.

    Returns
    -------
    ndarray, (height, width, channels)
        uint8 grey for the seed, else float32 with zero mean and unit spread.
    """
    if made.network == "seed":
        grey: Any = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        small = resize_part(np.asarray(grey), shape[1:])
        return np.rint(small).astype(np.uint8)[..., None]
    # Resized in float32: an exported network, which has no bytes to round to, does the same.
    return normalise(resize_part(image.astype(np.float32), shape[1:]), mask)[0]


def normalise(
    image: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], float, float]:
    """Zero mean and unit spread, so that the light's strength does not matter.

    Returns
    -------
    (pixels, level, spread)
        float32 (H, W, C); what was subtracted and divided by.
    """
    wide = image.astype(np.float32)
    wide = wide[..., None] if wide.ndim == 2 else wide
    counted = wide if mask is None else wide[mask]
    level = float(counted.mean())
    spread = float(counted.std()) + _SPREAD_FLOOR
    return (wide - np.float32(level)) / np.float32(spread), level, spread


def export_normalised(
    graph: ScoreGraph, planes: str, shape: Shape, mask: NDArray[np.bool_] | None
) -> str:
    """Add :func:`normalise` to a graph, for planes (1, C, H, W) of this shape."""
    counted = np.ones(shape[1:]) if mask is None else mask
    share = counted / (counted.sum() * shape[0])

    def mean(values: str) -> str:
        total = graph.reduce("Sum", graph.multiply(values, share), 1, 2, 3)
        return graph.reshape(total, (1, 1, 1, 1))

    centered = graph.node("Sub", [planes, mean(planes)])
    variance = mean(graph.node("Mul", [centered, centered]))
    spread = graph.add(graph.node("Sqrt", [variance]), _SPREAD_FLOOR)
    return graph.node("Div", [centered, spread])


def pretraining_images(folder: str, channels: int) -> list[NDArray[Any]]:
    """The good training images of another data folder, grey or colour as asked.

    Raises
    ------
    DataError
        The folder holds none that can be read.
    """
    found: list[NDArray[Any]] = []
    for item in load_dataset(folder).train_good():
        try:
            pixels = read_image(item.path).pixels
        except ImageError:
            continue  # pretraining takes what it can get; these images judge nothing
        if pixels.dtype == np.uint16:
            pixels = (pixels // 257).astype(np.uint8)
        if channels == 3 and pixels.ndim == 2:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        elif channels == 1 and pixels.ndim == 3:
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        found.append(pixels)
    if not found:
        raise DataError(f"{folder}: no readable good images to pretrain on")
    return found
