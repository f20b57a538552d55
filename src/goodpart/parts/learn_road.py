"""Complete the road's part of a recipe on good images: trays, alignment, masks, checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.errors import DataError, ImageError
from goodpart.parts.checks import (
    LIKENESS_ARRAY,
    learn_checks,
    learn_edges,
    measure,
    strange,
)
from goodpart.parts.choose_alignment import choose_alignment
from goodpart.parts.learn_tray import complete_tray
from goodpart.parts.masks import MASK_ARRAY, read_mask
from goodpart.parts.read import SourceImage
from goodpart.parts.road import Cut, Road, RoadState, prepare_pixels
from goodpart.parts.views import Views
from goodpart.progress import Progress, track
from goodpart.recipe import ChecksSection, Recipe

# Good parts looked at: enough for any of the choices, and few enough for memory and time.
LEARN_PARTS = 120


def learn_road(
    recipe: Recipe,
    count: int,
    read: Callable[[int], SourceImage],
    *,
    size: tuple[int, int],
    progress: Progress | None = None,
) -> tuple[Recipe, RoadState]:
    """Decide what the recipe leaves open between the source image and the part image.

    Parameters
    ----------
    recipe : Recipe
        With ``input`` complete.
    count : int
        Number of good source images.
    read : callable
        One of them by its index.
    size : (int, int)
        Height and width of part images where nothing else decides it.
    progress : callable, optional

    Raises
    ------
    DataError
        No part is found, or the alignment that the recipe asks for is not possible.
    """
    color, white_level = recipe.input.color, recipe.input.white_level
    assert white_level != "auto"

    def pixels_of(index: int) -> NDArray[Any]:
        return prepare_pixels(read(index), color, white_level)

    tray, arrays = complete_tray(recipe.tray, count, pixels_of, progress)
    if tray.mode != "none" and recipe.part.size == "auto" and tray.part is not None:
        size = _within(tray.part, recipe.part.max_side)
    recipe = recipe.model_copy(update={"tray": tray})
    views = [cut.views() for cut in _cuts(recipe, arrays, size, count, read, "aligning", progress)]
    if not views:
        raise DataError("no part is found in the good images; look at them with: goodpart prepare")
    chosen = choose_alignment(recipe, _familiar(views), size=size)
    del views
    recipe = recipe.model_copy(update={"align": chosen.align, "part": chosen.part})
    arrays = {**arrays, **chosen.arrays}
    assert recipe.part.size != "auto"
    mask = read_mask(recipe.mask, recipe.part.size)
    if mask is not None:
        arrays[MASK_ARRAY] = mask
    return _with_checks(recipe, arrays, count, read, progress)


def _with_checks(
    recipe: Recipe,
    arrays: dict[str, NDArray[Any]],
    count: int,
    read: Callable[[int], SourceImage],
    progress: Progress | None,
) -> tuple[Recipe, RoadState]:
    if all(value != "auto" for _, value in recipe.checks):
        return recipe, RoadState(arrays)
    road = Road(recipe.model_copy(update={"checks": _no_checks()}), RoadState(arrays))
    assert recipe.part.size != "auto"
    parts, measured = [], []
    for cut in _cuts(recipe, arrays, recipe.part.size, count, read, "learning checks", progress):
        found = road.align(cut)
        if found is not None:
            pixels, location = found
            parts.append(pixels)
            measured.append((location, cut.size))
    if not parts:
        return recipe, RoadState(arrays)

    def values_by(edges: NDArray[np.float32]) -> list[dict[str, float]]:
        return [
            measure(
                pixels,
                road.mask,
                transform=location,
                source=source,
                aligned=road.aligned,
                edges=edges,
            )
            for pixels, (location, source) in zip(parts, measured, strict=True)
        ]

    edges = learn_edges(parts)
    values = values_by(edges)
    out = set(strange(values))
    if out:
        edges = learn_edges([part for index, part in enumerate(parts) if index not in out])
        values = [one for index, one in enumerate(values_by(edges)) if index not in out]
    checks, usual = learn_checks(recipe.checks, values)
    arrays = {**arrays, LIKENESS_ARRAY: edges, **usual}
    return recipe.model_copy(update={"checks": checks}), RoadState(arrays)


def _familiar(views: list[Views]) -> list[Views]:
    """Views without those that show something else altogether."""
    edges = learn_edges([view.fine for view in views])
    measured = [
        measure(
            view.fine,
            None,
            transform=np.eye(3),
            source=(view.fine.shape[0], view.fine.shape[1]),
            aligned=False,
            edges=edges,
        )
        for view in views
    ]
    out = set(strange(measured))
    return [view for index, view in enumerate(views) if index not in out]


def _no_checks() -> ChecksSection:
    return ChecksSection(**dict.fromkeys(ChecksSection.model_fields, "off"))


def _cuts(
    recipe: Recipe,
    arrays: dict[str, NDArray[Any]],
    size: tuple[int, int],
    count: int,
    read: Callable[[int], SourceImage],
    stage: str,
    progress: Progress | None,
) -> Iterator[Cut]:
    """Parts of good images before alignment, evenly chosen, at most ``LEARN_PARTS``."""
    plain = recipe.model_copy(
        update={
            "part": recipe.part.model_copy(update={"size": size}),
            "align": recipe.align.model_copy(update={"method": "none", "outline": None}),
            "mask": recipe.mask.model_copy(update={"image": None}),
            "checks": _no_checks(),
        }
    )
    road = Road(plain, RoadState(arrays))
    picked = np.unique(np.linspace(0, count - 1, min(count, LEARN_PARTS)).round().astype(int))
    given = 0
    for index in track(picked, stage, len(picked), progress):
        try:
            cuts = road.cuts(read(int(index)))
        except ImageError:
            # Named and left out when the parts are cut; here it only teaches nothing.
            continue
        for cut in cuts:
            if cut.problem is None and given < LEARN_PARTS:
                given += 1
                yield cut


def _within(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """A size at most ``max_side``, in multiples of 16."""
    scale = min(1.0, max_side / max(size))
    height, width = (max(32, round(side * scale / 16) * 16) for side in size)
    return height, width
