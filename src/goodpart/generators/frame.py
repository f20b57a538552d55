"""Where the part lies in each real image: a generator learns from parts that are brought together.

A hundred images teach a network how a part looks, or where parts may lie, but hardly both. Where
the road that every image takes can locate the part, parts are cut out as for a detector, what
does not belong to them is blanked, and a drawn part is put back where the real one that it is
most like lies in its image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError
from goodpart.generators.base import Shape
from goodpart.generators.images import FEWEST, RealImages
from goodpart.parts.learn_road import learn_road
from goodpart.parts.read import SourceImage, read_image
from goodpart.parts.road import Cut, Road, RoadState, resize_part
from goodpart.progress import Progress, track
from goodpart.recipe import ChecksSection, InputSection, Recipe

# Over this share of the side a part that is put back passes into its surroundings.
_SEAM = 0.03


@dataclass(frozen=True)
class Parts:
    """What a generator learns from, and the way back.

    Parameters
    ----------
    real : RealImages
        Those in which the part is located.
    pixels : list of ndarray of uint8, (H, W) or (H, W, 3)
        At the generator's size, blank where nothing counts.
    mask : ndarray of bool, (H, W), or None
        True where pixels count; ``None``: everywhere.
    places : list of ndarray of float64, (3, 3), or None
        Part image to real image; ``None``: parts are not located, they are the whole images.
    """

    real: RealImages
    pixels: list[NDArray[np.uint8]]
    mask: NDArray[np.bool_] | None = None
    places: list[NDArray[np.float64]] | None = None

    @property
    def array(self) -> NDArray[np.uint8]:
        """All of them: uint8 (N, H, W, C)."""
        return np.stack([i if i.ndim == 3 else i[..., None] for i in self.pixels])

    def blank(self, drawn: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A drawn image, blank where the real ones are."""
        if self.mask is None:
            return drawn
        found = self.pixels[0].copy()
        found[self.mask] = drawn[self.mask]
        return found

    def put_back(self, drawn: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """A drawn part in the place of a real one, at the real images' size."""
        if self.places is None:
            return resize_part(drawn, self.real.size)
        surroundings = self.real.pixels[index].astype(np.float32)
        weight = _carry(self._weight(), self.places[index], self.real.size)
        part = _carry(drawn.astype(np.float32), self.places[index], self.real.size)
        weight = weight if part.ndim == 2 else weight[..., None]
        mixed = surroundings + weight * (part - surroundings)
        return np.rint(mixed).clip(0, 255).astype(np.uint8)

    def _weight(self) -> NDArray[np.float32]:
        """1 inside, falling to 0 at the border of what counts."""
        counts = np.ones(self.pixels[0].shape[:2], np.uint8)
        if self.mask is not None:
            counts = self.mask.astype(np.uint8)
        inside = cv2.distanceTransform(np.pad(counts, 1), cv2.DIST_L2, 5)[1:-1, 1:-1] - 1
        return np.asarray(inside / (_SEAM * min(counts.shape)), np.float32).clip(0, 1)


def _carry(
    pixels: NDArray[np.float32], place: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.float32]:
    """From the part image into the real one; 0 outside."""
    found = cv2.warpAffine(pixels, place[:2], (size[1], size[0]), flags=cv2.INTER_LINEAR)
    return np.asarray(found, np.float32)


def whole_images(real: RealImages, shape: Shape) -> Parts:
    """The images as they are, at the generator's size."""
    size = (shape.height, shape.width)
    return Parts(real, [np.asarray(resize_part(pixels, size)) for pixels in real.pixels])


def locate_parts(
    real: RealImages,
    fitting: Callable[[int, int, int], Shape],
    *,
    progress: Progress | None = None,
) -> Parts:
    """Cut the parts out of real images where that brings them together.

    Parameters
    ----------
    real : RealImages
    fitting : callable
        The generator's shape for images of a height, a width and a number of channels.
    progress : callable, optional

    Returns
    -------
    Parts
        Whole images, where alignment does not bring them together.

    Raises
    ------
    RecipeError
        The layers cannot make the size.
    DataError
        The part is located in fewer than 8 images.
    """
    fitting(*real.size, real.channels)  # a size that cannot be made is an error before the search
    color = "grey" if real.channels == 1 else "color"
    recipe = Recipe(
        input=InputSection(color=color, white_level=255),
        checks=ChecksSection(**dict.fromkeys(ChecksSection.model_fields, "off")),
    )
    recipe, state = _learned(recipe, real, real.size, progress)
    assert recipe.part.size != "auto"
    shape = fitting(*recipe.part.size, real.channels)
    if recipe.align.method == "none":
        return whole_images(real, shape)
    size = (shape.height, shape.width)
    if recipe.part.size != size:
        part = recipe.part.model_copy(update={"size": size})
        recipe = recipe.model_copy(update={"part": part, "align": Recipe().align})
        recipe, state = _learned(recipe, real, size, progress)
    return _cut_out(real, Road(recipe, state), progress)


def _learned(
    recipe: Recipe, real: RealImages, size: tuple[int, int], progress: Progress | None
) -> tuple[Recipe, RoadState]:
    def read(index: int) -> SourceImage:
        return read_image(real.pixels[index])

    return learn_road(recipe, len(real.pixels), read, size=size, progress=progress)


def _cut_out(real: RealImages, road: Road, progress: Progress | None) -> Parts:
    parts: list[NDArray[Any]] = []
    places: list[NDArray[np.float64]] = []
    kept: list[int] = []
    left_out = list(real.left_out)
    for index in track(range(len(real.pixels)), "locating", len(real.pixels), progress):
        pixels = real.pixels[index]
        found = road.align(Cut(pixels, None, (pixels.shape[0], pixels.shape[1])))
        if found is None:
            name = str(real.items[index].path)
            left_out.append((name, f"{name}: no part like the others is found in it"))
            continue
        parts.append(found[0])
        places.append(found[1])
        kept.append(index)
    if len(parts) < FEWEST:
        raise DataError(
            f"the part is located in {len(parts)} good images only; a generator needs at least "
            f"{FEWEST}: learn from whole images with --set align=false"
        )
    fewer = replace(
        real,
        pixels=[real.pixels[i] for i in kept],
        items=[real.items[i] for i in kept],
        sha256=[real.sha256[i] for i in kept],
        left_out=left_out,
    )
    if road.mask is not None:
        level = np.rint(np.mean([part[road.mask].mean(axis=0) for part in parts], axis=0))
        for part in parts:
            part[~road.mask] = level.astype(np.uint8)
    return Parts(fewer, parts, road.mask, places)


__all__ = ["Parts", "locate_parts", "whole_images"]
