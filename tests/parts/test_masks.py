"""Masks: which pixels count."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goodpart.errors import RecipeError
from goodpart.parts.masks import part_mask, read_mask, shape_mask
from goodpart.recipe import MaskShape, Recipe, parse_recipe


def _recipe(mask: dict, align: dict | None = None) -> Recipe:
    return parse_recipe(
        {"part": {"size": [80, 100]}, "mask": mask, "align": align or {"method": "none"}}
    )


def test_everything_counts_where_nothing_is_said() -> None:
    assert part_mask(_recipe({}), {}) is None


def test_a_circle_has_its_area_and_lies_in_the_middle() -> None:
    mask = shape_mask(MaskShape(shape="circle", radius=0.25), (80, 100))
    rows, columns = np.nonzero(mask)
    assert mask.sum() == pytest.approx(np.pi * 20**2, rel=0.02)
    assert (rows.mean(), columns.mean()) == (39.5, 49.5)


def test_a_ring_leaves_out_its_middle() -> None:
    mask = shape_mask(MaskShape(shape="ring", radius=0.4, inner=0.2), (80, 100))
    assert not mask[40, 50] and mask[40, 50 + 24] and not mask[40, 50 + 36]


def test_a_polygon_is_where_its_corners_are_whatever_the_resolution() -> None:
    corners = ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75))
    for size in ((80, 100), (160, 200)):
        mask = shape_mask(MaskShape(shape="polygon", points=corners), size)
        assert mask.mean() == pytest.approx(0.25, abs=0.03)
        assert mask[size[0] // 2, size[1] // 2] and not mask[2, 2]


def test_ignored_areas_are_taken_out_of_those_that_alone_count() -> None:
    mask = part_mask(
        _recipe(
            {
                "only": [{"shape": "circle", "radius": 0.4}],
                "ignore": [{"shape": "circle", "radius": 0.1}],
            }
        ),
        {},
    )
    assert mask is not None
    assert not mask[40, 50] and mask[40, 70] and not mask[0, 0]


def test_background_beyond_the_outline_and_its_margin_is_ignored() -> None:
    align = {"method": "none", "outline": 30}
    mask = part_mask(_recipe({"margin": 0.1}, align), {})
    assert mask is not None
    assert mask[39, 49 + 32] and not mask[39, 49 + 35]
    assert part_mask(_recipe({"background": "count"}, align), {}) is None


def test_an_image_says_what_counts(tmp_path: Path) -> None:
    picture = np.zeros((40, 50), np.uint8)
    picture[:, 25:] = 255
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), picture)
    recipe = _recipe({"image": str(path)})
    stored = read_mask(recipe.mask, (80, 100))
    assert stored is not None
    mask = part_mask(recipe, {"mask": stored})
    assert mask is not None
    assert mask[:, 50:].all() and not mask[:, :50].any()


def test_a_mask_that_leaves_nothing_is_an_error() -> None:
    nothing = _recipe({"ignore": [{"shape": "circle", "radius": 5.0}]})
    with pytest.raises(RecipeError, match="nothing is left"):
        part_mask(nothing, {})


def test_a_missing_mask_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mask\.image"):
        read_mask(_recipe({"image": str(tmp_path / "none.png")}).mask, (80, 100))


@pytest.mark.parametrize(
    "shape",
    [
        {"shape": "polygon", "points": [[0, 0], [1, 1]]},
        {"shape": "circle"},
        {"shape": "ring", "radius": 0.2, "inner": 0.3},
    ],
)
def test_an_incomplete_shape_is_an_error(shape: dict) -> None:
    with pytest.raises(RecipeError, match=r"mask\.ignore\.0"):
        _recipe({"ignore": [shape]})
