"""Which pixels of a part image count: areas that a recipe names, and the part's outline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.errors import ImageError, RecipeError
from goodpart.parts.read import read_image
from goodpart.recipe import MaskSection, MaskShape, Recipe

MASK_ARRAY = "mask"
# Sub-pixel bits of polygon corners.
_SHIFT = 4


def shape_mask(shape: MaskShape, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels of an area.

    Parameters
    ----------
    shape : MaskShape
    size : (int, int)
        Height and width of the part image.

    Returns
    -------
    ndarray of bool, (H, W)
    """
    height, width = size
    if shape.shape == "polygon":
        corners = np.array(shape.points) * (width, height) - 0.5
        drawn = np.zeros(size, dtype=np.uint8)
        fixed = np.round(corners * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(drawn, [fixed], 1, shift=_SHIFT)
        return np.asarray(drawn > 0, dtype=np.bool_)
    assert shape.radius is not None
    x, y = shape.center[0] * width - 0.5, shape.center[1] * height - 0.5
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot(rows - y, columns - x) / min(size)
    inside = distance <= shape.radius
    if shape.shape == "ring":
        assert shape.inner is not None
        inside &= distance >= shape.inner
    return np.asarray(inside, dtype=np.bool_)


def read_mask(section: MaskSection, size: tuple[int, int]) -> NDArray[np.uint8] | None:
    """The mask that the recipe gives as an image file, at the part image's size; 1 where it counts.

    Raises
    ------
    RecipeError
        The file cannot be read.
    """
    if section.image is None:
        return None
    try:
        pixels = read_image(section.image).pixels
    except ImageError as error:
        raise RecipeError(f"mask.image: {error}") from None
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    counts = (grey > 0).astype(np.uint8)
    resized: Any = cv2.resize(counts, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized, dtype=np.uint8)


def part_mask(recipe: Recipe, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_] | None:
    """Where pixels count, the same for every part; ``None`` for everywhere.

    Parameters
    ----------
    recipe : Recipe
        Complete.
    arrays : mapping of str to ndarray
        With ``mask`` where the recipe names an image, see :func:`read_mask`.

    Raises
    ------
    RecipeError
        Nothing is left that counts.
    """
    assert recipe.part.size != "auto"
    size, section = recipe.part.size, recipe.mask
    counts = np.ones(size, dtype=np.bool_)
    if recipe.align.outline is not None and section.background == "ignore":
        radius = recipe.align.outline * (1 + section.margin) / min(size)
        counts &= shape_mask(MaskShape(shape="circle", radius=radius), size)
    if section.only:
        counts &= _union(section.only, size)
    if section.ignore:
        counts &= ~_union(section.ignore, size)
    if section.image is not None:
        if MASK_ARRAY not in arrays:
            raise RecipeError("mask.image: the model does not have it; train it again")
        counts &= np.asarray(arrays[MASK_ARRAY]) > 0
    if not counts.any():
        raise RecipeError("mask: nothing is left that counts; check mask.only and mask.ignore")
    return None if counts.all() else counts


def _union(shapes: Sequence[MaskShape], size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.any([shape_mask(shape, size) for shape in shapes], axis=0)
