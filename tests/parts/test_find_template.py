"""Parts of any shape are found at any angle, and turned as the example is."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.errors import RecipeError
from goodpart.parts.find_template import TemplateFinder


def wedge(size, centre, turn, scale=1.0, *, light=1.0):
    """A flat part without any symmetry, turned by ``turn`` radians."""
    outline = np.array([[-60, -35], [60, -35], [60, 10], [25, 35], [-60, 35]], dtype=float)
    c, s = np.cos(turn), np.sin(turn)
    placed = scale * outline @ np.array([[c, s], [-s, c]]) + centre
    # Drawn eight times as large and averaged, so that edges lie where they should.
    canvas = np.full((size[0] * 8, size[1] * 8), 25, np.uint8)
    cv2.fillPoly(canvas, [np.round((placed + 0.5) * 8 - 0.5).astype(np.int32)], 180)
    small = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    return (cv2.GaussianBlur(small, (0, 0), 1.0) * light).astype(np.uint8)


@cache
def wedge_finder(**options):
    example = wedge((90, 140), (69.5, 44.5), 0.0)
    defaults = {"turned": True, "tolerance": 0.05, "least_match": 0.5, "size": (90, 140)}
    return TemplateFinder(example, **{**defaults, **options})


@given(
    x=st.floats(90, 210),
    y=st.floats(90, 160),
    turn=st.floats(-3.1, 3.1),
    light=st.floats(0.35, 1.3),
)
@settings(max_examples=15, deadline=None, derandomize=True)
def test_place_and_turn_are_exact_at_any_angle_and_in_any_light(x, y, turn, light):
    (spot,) = wedge_finder().locate(wedge((250, 300), (x, y), turn, light=light))
    assert np.linalg.norm(spot.centre - (x, y)) < 0.5
    got = np.arctan2(spot.matrix[1, 0], spot.matrix[0, 0])
    assert abs(np.angle(np.exp(1j * (got - turn)))) < np.deg2rad(1)
    assert np.sqrt(np.linalg.det(spot.matrix[:2, :2])) == pytest.approx(1, abs=0.01)


def test_size_is_measured_and_what_is_too_large_left_out():
    (spot,) = wedge_finder().locate(wedge((250, 300), (150, 120), 1.0, 1.04))
    assert np.sqrt(np.linalg.det(spot.matrix[:2, :2])) == pytest.approx(1.04, abs=0.01)
    assert wedge_finder().locate(wedge((250, 300), (150, 120), 1.0, 1.25)) == []


def test_parts_that_may_not_be_turned_are_found_upright_alone():
    finder = wedge_finder(turned=False)
    assert len(finder.locate(wedge((250, 300), (150, 120), 0.02))) == 1
    assert finder.locate(wedge((250, 300), (150, 120), 1.6)) == []


@pytest.mark.parametrize("kind", ["notched", "tab"])
def test_rendered_parts_come_to_one_angle(kind, tray, learned):
    spots = learned(kind).spots
    pairs = []
    for seed in range(3):
        shown = tray(kind, seed)
        found = spots.locate(shown.image)
        assert len(found) == 5
        for pocket in shown.truth.pockets:
            best = min(found, key=lambda s: np.linalg.norm(s.centre - pocket.part.centre))
            pairs.append((best.matrix, np.array(pocket.part.matrix)))
    common = np.median([np.linalg.inv(cut) @ true for cut, true in pairs], axis=0)
    for cut, true in pairs:
        got = cut @ common
        assert np.linalg.norm((got - true)[:2, 2]) < 0.6
        turn = np.linalg.inv(true[:2, :2]) @ got[:2, :2]
        assert abs(np.rad2deg(np.arctan2(turn[1, 0] - turn[0, 1], np.trace(turn)))) < 0.6


def test_a_disc_has_no_angle_and_keeps_that_of_the_tray():
    canvas = np.full((140, 140), 25, np.uint8)
    cv2.circle(canvas, (70 * 16, 70 * 16), 55 * 16, 180, -1, cv2.LINE_AA, 4)
    example = cv2.GaussianBlur(canvas, (0, 0), 1.0)
    finder = TemplateFinder(example, turned=True, tolerance=0.05, least_match=0.5, size=(140, 140))
    tray_image = np.full((300, 300), 25, np.uint8)
    tray_image[90:230, 60:200] = example
    (spot,) = finder.locate(tray_image)
    assert np.allclose(spot.matrix[:2, :2], np.eye(2), atol=0.01)
    assert np.allclose(spot.matrix[:2, 2], (60, 90), atol=0.5)


def test_an_example_without_edges_cannot_be_searched_for():
    flat = np.full((90, 140), 80, np.uint8)
    with pytest.raises(RecipeError, match="edges"):
        TemplateFinder(flat, turned=True, tolerance=0.05, least_match=0.5, size=(90, 140))
