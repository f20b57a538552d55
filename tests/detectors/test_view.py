"""Detectors behind a view: the same manners, in the coordinates of the part image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from goodpart import Verdict, fit, load
from goodpart.detectors.view import Tiled, Unwrapped
from goodpart.errors import RecipeError
from goodpart.recipe import parse_recipe


def _plate(seed: int, defect: tuple[int, int] | None = None) -> Any:
    image = np.random.default_rng(seed).normal(120, 4, (192, 256))
    if defect is not None:
        cv2.circle(image, defect, 6, 250, -1)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def good() -> Any:
    return np.stack([_plate(seed) for seed in range(24)])


def _recipe(**part: Any) -> Any:
    return parse_recipe({"part": part, "align": {"method": "none"}, "limits": {"overkill": 0.05}})


@pytest.mark.parametrize(
    ("part", "kind", "place"),
    [
        ({"tile": 64, "overlap": 0.25}, Tiled, (200, 150)),
        ({"view": "polar"}, Unwrapped, (170, 120)),
    ],
)
def test_a_defect_is_found_where_it_is_and_a_saved_model_says_the_same(
    good: Any, tmp_path: Path, part: dict[str, Any], kind: type, place: tuple[int, int]
) -> None:
    model = fit(good, detector="variation", recipe=_recipe(**part))
    assert isinstance(model.detector, kind)
    assert model.detector.name == "variation"
    assert len(model.calibration["good_scores"]) == len(good)
    inspection = model.inspect(_plate(100, place))
    assert inspection.verdict is Verdict.NG
    region = inspection.regions[0]
    x, y = region.x + region.width / 2, region.y + region.height / 2
    assert abs(x - place[0]) < 5 and abs(y - place[1]) < 5
    model.save(tmp_path / "model")
    again = load(tmp_path / "model").inspect(_plate(100, place))
    assert again.score == inspection.score
    assert np.array_equal(again.score_map, inspection.score_map)


def test_a_part_smaller_than_a_tile_is_looked_at_in_one_piece(good: Any) -> None:
    model = fit(good, detector="variation", recipe=_recipe(tile=512))
    assert not isinstance(model.detector, Tiled)


def test_the_polar_view_has_no_tiles() -> None:
    with pytest.raises(RecipeError, match="part: the polar view"):
        _recipe(view="polar", tile=64)
