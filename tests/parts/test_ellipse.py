"""Ellipses: found in level sets, fitted sub-pixel, not moved by defects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.ellipse import (
    Candidate,
    find_ellipses,
    frame_of,
    frame_radius,
    refine,
    rescaled,
    untwisted,
)

Draw = Callable[..., Any]


def _rough(cx: float, cy: float, radius: float) -> Candidate:
    return Candidate(frame_of(cx, cy, radius, radius, 0.0), bright=False)


@settings(deadline=None)
@given(a=st.floats(5, 80), b=st.floats(5, 80), theta=st.floats(-3, 3), turn=st.floats(-3, 3))
def test_an_untwisted_frame_is_the_same_ellipse(
    a: float, b: float, theta: float, turn: float
) -> None:
    frame = frame_of(10, 20, a, b, theta)
    c, s = np.cos(turn), np.sin(turn)
    twisted = np.column_stack([frame[:, :2] @ [[c, -s], [s, c]], frame[:, 2]])
    assert untwisted(twisted) == pytest.approx(frame, abs=1e-6)


@settings(deadline=None)
@given(factor=st.floats(0.2, 5))
def test_rescaling_a_frame_there_and_back_changes_nothing(factor: float) -> None:
    frame = frame_of(31.5, 40.25, 20, 12, 0.7)
    assert rescaled(rescaled(frame, factor), 1 / factor) == pytest.approx(frame, abs=1e-9)
    assert frame_radius(rescaled(frame, factor)) == pytest.approx(factor * frame_radius(frame))


def test_the_dark_ring_is_among_the_ellipses_found(rings: Draw) -> None:
    small = cv2.resize(rings(stretch=1.2, angle=0.4), (128, 128), interpolation=cv2.INTER_AREA)
    wanted = rescaled(frame_of(127.5, 127.5, 60 * 1.2, 60, 0.4), 0.5)
    found = [c for c in find_ellipses(small) if not c.bright]
    assert min(np.abs(c.frame - wanted).max() for c in found) < 1.0


def test_an_even_picture_has_no_ellipses() -> None:
    assert find_ellipses(np.full((128, 128), 90, np.uint8)) == []


@settings(max_examples=12, deadline=None)
@given(
    cx=st.floats(115, 140),
    cy=st.floats(115, 140),
    stretch=st.floats(1.0, 1.25),
    angle=st.floats(0, 3.1),
)
def test_the_fit_is_exact_to_a_tenth_of_a_pixel(
    rings: Draw, cx: float, cy: float, stretch: float, angle: float
) -> None:
    image = rings(center=(cx, cy), stretch=stretch, angle=angle)
    wanted = frame_of(cx, cy, 60 * stretch, 60, angle)
    start = Candidate(wanted + np.array([[1, -1, 2], [-1, 2, -2]]), bright=False)
    fitted = refine(image, start)
    assert fitted is not None
    frame, support = fitted
    assert np.abs(frame - wanted).max() < 0.15
    assert support > 0.9


def test_a_burr_and_a_hole_at_the_edge_do_not_move_the_fit(rings: Draw) -> None:
    image = rings()
    cv2.circle(image, (127 + 60, 127), 12, 40, -1)
    cv2.circle(image, (127, 127 - 58), 9, 170, -1)
    fitted = refine(image, _rough(126, 129, 61))
    assert fitted is not None
    assert np.abs(fitted[0] - frame_of(127.5, 127.5, 60, 60, 0)).max() < 0.3


def test_a_circle_fit_keeps_both_axes_equal(rings: Draw) -> None:
    fitted = refine(rings(stretch=1.04), _rough(127, 128, 61), circle=True)
    assert fitted is not None
    frame = fitted[0]
    assert frame[0, 0] == pytest.approx(frame[1, 1])
    assert frame[0, 1] == pytest.approx(0, abs=1e-9)


def test_a_fit_without_an_edge_is_none() -> None:
    assert refine(np.full((128, 128), 90, np.uint8), _rough(64, 64, 30)) is None
