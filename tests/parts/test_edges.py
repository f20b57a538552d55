"""Edge points of an example, and the pose that brings them onto an image."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.edges import Pose, example_of, fit_pose, likeness


def notched_disc(centre, turn, radius=70.0, size=(220, 220)):
    """A disc with a notch at ``turn`` radians, drawn four times as large and averaged."""
    canvas = np.full((size[0] * 4, size[1] * 4), 20, np.uint8)

    def disc(x, y, r, value):
        place = (round((x + 0.5) * 64 - 8), round((y + 0.5) * 64 - 8))
        cv2.circle(canvas, place, round(r * 64), value, -1, cv2.LINE_8, 4)

    disc(*centre, radius, 170)
    disc(centre[0] + radius * np.cos(turn), centre[1] + radius * np.sin(turn), 9, 20)
    small = cv2.resize(canvas, size[::-1], interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small, (0, 0), 0.8)


EXAMPLE = example_of(notched_disc((109.5, 109.5), 0.0))


def test_only_the_notch_says_something_of_the_turn():
    assert EXAMPLE is not None
    telling = EXAMPLE.shape.points[EXAMPLE.turning > 0.1]
    assert len(telling) > 4
    assert np.abs(telling - (70, 0)).max() < 14
    assert 68 < EXAMPLE.shape.reach < 72


@given(
    x=st.floats(106.5, 112.5),
    y=st.floats(106.5, 112.5),
    turn=st.floats(-0.04, 0.04),
    scale=st.floats(0.98, 1.02),
)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_a_near_pose_is_made_exact(x, y, turn, scale):
    image = notched_disc((x, y), turn, 70 * scale)
    fit = fit_pose(image, EXAMPLE, Pose(1 + 0j, 109.5 + 109.5j))
    assert abs(fit.pose.centre - complex(x, y)) < 0.2
    assert abs(fit.pose.scale - scale) < 0.004
    assert abs(fit.pose.angle - turn) < np.deg2rad(0.5)
    assert fit.support > 0.9


def test_where_nothing_lies_nothing_fits():
    empty = np.random.default_rng(0).normal(20, 1, (220, 220)).clip(0, 255).astype(np.uint8)
    fit = fit_pose(empty, EXAMPLE, Pose(1 + 0j, 109.5 + 109.5j))
    assert fit.light < 0.1


def test_likeness_is_high_for_the_example_itself_and_low_turned_half_round():
    lopsided = notched_disc((109.5, 109.5), 0.0)
    cv2.circle(lopsided, (140, 109), 20, 60, -1)
    example = example_of(lopsided)
    here = 109.5 + 109.5j
    assert likeness(lopsided, example, Pose(1 + 0j, here)) > 0.95
    assert likeness(lopsided, example, Pose(-1 + 0j, here)) < 0.2


def test_a_picture_without_edges_is_no_example():
    assert example_of(np.full((50, 50), 90, np.uint8)) is None
