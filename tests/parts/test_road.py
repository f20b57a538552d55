"""The road: one warp from the source, problems with their reasons, nothing raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from goodpart import Verdict, fit
from goodpart.parts.read import read_image
from goodpart.parts.road import Road
from goodpart.recipe import parse_recipe

Draw = Callable[..., Any]


def _road(**sections: Any) -> Road:
    values = {
        "input": {"color": "grey", "white_level": 65535},
        "part": {"size": [64, 64]},
        "align": {"method": "none"},
    }
    return Road(parse_recipe({**values, **sections}))


@pytest.fixture(scope="module")
def model(rings: Draw) -> Any:
    random = np.random.default_rng(0)
    good = np.stack(
        [
            rings(center=tuple(127.5 + random.uniform(-10, 10, 2)), radius=55, seed=seed)
            for seed in range(20)
        ]
    )
    recipe = parse_recipe({"part": {"mm_per_pixel": 0.1}, "limits": {"overkill": 0.05}})
    return fit(good, detector="variation", recipe=recipe)


def test_a_colour_image_where_grey_was_learned_is_a_problem_not_an_error() -> None:
    color = np.zeros((64, 64, 3), np.uint8)
    color[..., 0] = 200
    (part,) = _road().parts(read_image(color))
    assert part.problem is not None and part.problem[0] == "color"


def test_three_channels_that_agree_are_grey() -> None:
    grey = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    (part,) = _road().parts(read_image(np.repeat(grey[..., None], 3, axis=2)))
    assert part.problem is None and part.pixels is not None
    assert np.abs(part.pixels.astype(int) - grey).max() <= 1


def test_boxes_of_a_tray_become_parts_with_their_place() -> None:
    tray = {
        "mode": "boxes",
        "part": [64, 64],
        "boxes": [
            {"name": "A", "x": 10, "y": 20, "width": 64, "height": 64},
            {"name": "B", "x": 110, "y": 20, "width": 64, "height": 64},
        ],
    }
    image = np.random.default_rng(1).integers(0, 255, (120, 200), dtype=np.uint8)
    first, second = _road(tray=tray).parts(read_image(image))
    assert (first.pocket, second.pocket) == ("A", "B")
    assert first.pixels is not None
    assert np.array_equal(first.pixels, image[20:84, 10:74])
    assert second.transform @ [0, 0, 1] == pytest.approx([110, 20, 1])


def test_the_chosen_alignment_is_kept_and_parts_sit_in_the_middle(model: Any, rings: Draw) -> None:
    assert model.recipe.align.method in ("circle", "ellipse")
    inspection = model.inspect(rings(center=(120.0, 135.0), radius=55, seed=90))
    height, width = inspection.image.shape
    middle = inspection.transform @ [(width - 1) / 2, (height - 1) / 2, 1]
    assert middle[:2] == pytest.approx([120, 135], abs=0.3)
    assert inspection.verdict is not Verdict.NOT_JUDGED


def test_areas_in_mm2_are_those_of_the_source(model: Any, rings: Draw) -> None:
    image = rings(radius=55, seed=91)
    image[85:97, 190:202] = 20  # on the bright rim: 12 x 12 pixels, 1.44 mm²
    (region, *_) = model.inspect(image).regions
    scale = abs(np.linalg.det(model.inspect(image).transform[:2, :2]))
    assert region.area_mm2 == pytest.approx(region.area * scale * 0.01)
    # The detector blurs before it compares, so the region is larger than the spot.
    assert 1.4 < region.area_mm2 < 7


@pytest.mark.parametrize(
    "image",
    [
        np.full((256, 256), 60, np.uint8),
        np.random.default_rng(2).integers(0, 255, (256, 256), dtype=np.uint8),
        np.zeros((256, 256), np.uint8),
    ],
    ids=["no part", "noise", "black"],
)
def test_an_image_without_a_part_is_not_judged(model: Any, image: Any) -> None:
    inspection = model.inspect(image)
    assert inspection.verdict is Verdict.NOT_JUDGED
    assert inspection.reason == "not located"
