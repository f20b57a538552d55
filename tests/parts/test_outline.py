"""The outline of round parts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.parts.choose_alignment import choose_alignment
from goodpart.parts.outline import outline_of
from goodpart.parts.views import views_of
from goodpart.recipe import Recipe

SIDE = 192
# The outer flank of an edge counts: what belongs to the part lies inside.


def shape(corners: int, radius: float, seed: int, shift: float = 0.0) -> NDArray[np.uint8]:
    """A filled polygon (a circle from 60 corners on) with grain and a mark, on a dark ground."""
    rng = np.random.default_rng(seed)
    turns = np.arange(corners) * 2 * np.pi / corners
    points = np.column_stack([np.cos(turns), np.sin(turns)]) * radius + (SIDE - 1) / 2 + shift
    image = np.full((SIDE, SIDE), 25, np.uint8)
    cv2.fillPoly(image, [np.round(points * 16).astype(np.int32)], 150, cv2.LINE_AA, 4)
    cv2.circle(image, (SIDE // 2 + int(rng.integers(-20, 20)), SIDE // 2), 12, 90, -1)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def seen(images: list[NDArray[np.uint8]]) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    return [(image, np.ones(image.shape, np.bool_)) for image in images]


def test_a_disc_has_a_strictly_round_outline() -> None:
    found = outline_of(seen([shape(90, 70, seed) for seed in range(6)]), strictly_round=True)
    assert found == pytest.approx(72, abs=3)


@pytest.mark.parametrize(("corners", "shift"), [(4, 0.0), (6, 0.0), (90, 9.0)])
def test_squares_hexagons_and_discs_off_the_middle_have_none(corners: int, shift: float) -> None:
    parts = seen([shape(corners, 70, seed, shift) for seed in range(6)])
    assert outline_of(parts, strictly_round=True) is None


def test_a_texture_has_no_outline() -> None:
    rng = np.random.default_rng(0)
    for grain in (0.6, 1.5, 3.0, 6.0):
        noise = rng.normal(0, 1, (6, SIDE, SIDE))
        smooth = [cv2.GaussianBlur(one, (0, 0), grain) for one in noise]
        images = [np.clip(125 + 40 * one / one.std(), 0, 255).astype(np.uint8) for one in smooth]
        assert outline_of(seen(images), strictly_round=True) is None


@pytest.mark.parametrize("method", ["none", "template"])
def test_the_background_of_round_parts_is_left_out_without_a_ring_to_align_by(method: Any) -> None:
    recipe = Recipe()
    recipe = recipe.model_copy(update={"align": recipe.align.model_copy(update={"method": method})})
    size = (SIDE, SIDE)
    discs = [views_of(shape(90, 70, seed)) for seed in range(10)]
    chosen = choose_alignment(recipe, discs, size=size)
    assert chosen.align.method == method
    assert chosen.align.outline == pytest.approx(72, abs=3)
    squares = [views_of(shape(4, 70, seed)) for seed in range(10)]
    assert choose_alignment(recipe, squares, size=size).align.outline is None
