"""Regions: what a defect's extent is, and that good parts have none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.decision import Limits, Verdict
from goodpart.decision.judge import judge, region_level
from goodpart.decision.maps import resize_map, score_of
from goodpart.decision.regions import find_regions


def spot(height: int = 40, width: int = 60) -> np.ndarray:
    score_map = np.zeros((height, width), np.float32)
    score_map[10:20, 30:45] = 2.0
    score_map[14:16, 35:40] = 6.0
    return score_map


def test_the_lower_level_gives_extent_and_the_peak_decides() -> None:
    (region,) = find_regions(spot(), level=1.0, peak=5.0)
    assert (region.x, region.y, region.width, region.height) == (30, 10, 15, 10)
    assert region.area == 150
    assert region.peak == 6.0
    assert find_regions(spot(), level=1.0, peak=7.0) == ()


def test_areas_touching_at_a_corner_are_one() -> None:
    score_map = np.zeros((8, 8), np.float32)
    score_map[2, 2] = score_map[3, 3] = 3.0
    assert len(find_regions(score_map, level=1.0, peak=2.0)) == 1


def test_regions_come_highest_first_and_small_ones_are_left_out() -> None:
    score_map = spot()
    score_map[2, 2] = 9.0
    regions = find_regions(score_map, level=1.0, peak=5.0)
    assert [region.peak for region in regions] == [9.0, 6.0]
    assert [r.peak for r in find_regions(score_map, level=1.0, peak=5.0, smallest_area=5)] == [6.0]


def test_the_scale_gives_square_millimetres() -> None:
    (region,) = find_regions(spot(), level=1.0, peak=5.0, mm_per_pixel=0.1)
    assert region.area_mm2 == pytest.approx(1.5)


def test_masked_pixels_make_no_region_and_no_score() -> None:
    mask = np.ones((40, 60), bool)
    mask[:, 28:48] = False
    assert find_regions(np.where(mask, spot(), -np.inf), level=1.0, peak=1.5) == ()
    assert score_of(spot(), mask) == 0.0


def test_every_ng_part_has_a_region_even_after_interpolation() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        raw_map = rng.random((12, 12)).astype(np.float32)
        score = score_of(raw_map)
        limits = Limits(score * 0.9999, score * 0.9999)
        result = judge(raw_map, size=(95, 95), limits=limits, level=0.1)
        assert result.verdict is Verdict.NG
        assert result.regions


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_not_judged(value: float) -> None:
    raw_map = spot()
    raw_map[0, 0] = value
    result = judge(raw_map, size=(40, 60), limits=Limits(100, 100), level=1.0)
    assert result.verdict is Verdict.NOT_JUDGED
    assert result.regions == ()


def test_an_ok_part_has_no_regions() -> None:
    assert judge(spot(), size=(40, 60), limits=Limits(6, 6), level=1.0).regions == ()


def test_the_region_level_is_taken_from_pixels_that_count() -> None:
    score_map = np.zeros((10, 10), np.float32)
    score_map[:, 5:] = np.linspace(1, 2, 50).reshape(10, 5)
    mask = np.zeros((10, 10), bool)
    mask[:, 5:] = True
    assert region_level([score_map], mask, quantile=0.5) == pytest.approx(1.5, abs=0.02)


def test_resizing_keeps_a_constant_map() -> None:
    assert np.all(resize_map(np.full((4, 5), 3.0, np.float32), (33, 47)) == 3.0)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(3, 40), st.floats(0, 3), st.integers(0, 99))
def test_regions_are_the_connected_areas_also_within_holes_of_others(
    height: int, width: int, sigma: float, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    if sigma > 0.3:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    level = float(np.median(values))
    above = (values > level).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    expected = sorted(
        (*(int(v) for v in boxes[label]), float(values[labels == label].max()))
        for label in range(1, count)
    )
    found = find_regions(values, level=level, peak=level, most=height * width)
    assert sorted((r.x, r.y, r.width, r.height, r.area, r.peak) for r in found) == expected
    for region in found:
        x, y = np.array(region.contour).T
        assert len(set(labels[y, x].tolist())) == 1, "an outline runs on its own area"
        assert (x.min(), y.min()) == (region.x, region.y)
