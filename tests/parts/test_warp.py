"""Warping: exact geometry, no aliasing, nothing lost between samples."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.warp import inside_share, shown_mask, warp_part


def test_the_identity_gives_the_same_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    assert np.array_equal(warp_part(image, np.eye(3), (40, 50)), image)


@settings(deadline=None)
@given(factor=st.integers(2, 6), left=st.integers(0, 20), top=st.integers(0, 20))
def test_reducing_by_a_whole_factor_averages_whole_pixels(factor: int, left: int, top: int) -> None:
    image = np.random.default_rng(1).integers(0, 255, (110, 110)).astype(np.float32)
    size = (8, 9)
    window = image[top : top + size[0] * factor, left : left + size[1] * factor]
    wanted = cv2.resize(window, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    middle = (factor - 1) / 2
    matrix = np.array([[factor, 0, left + middle], [0, factor, top + middle], [0, 0, 1.0]])
    assert warp_part(image, matrix, size) == pytest.approx(wanted, abs=0.01)


@settings(deadline=None)
@given(dx=st.floats(-3, 3), dy=st.floats(-3, 3), scale=st.floats(0.5, 5.5))
def test_a_brightness_ramp_stays_where_the_matrix_says(dx: float, dy: float, scale: float) -> None:
    ramp = np.add.outer(np.zeros(200), np.arange(200)).astype(np.float32)
    matrix = np.array([[scale, 0, 40 + dx], [0, scale, 40 + dy], [0, 0, 1.0]])
    warped = warp_part(ramp, matrix, (16, 16))
    wanted = 40 + dx + scale * np.arange(16)
    # OpenCV interpolates at 1/32 of a pixel of the (averaged) source.
    assert warped[8] == pytest.approx(wanted, abs=0.04 * max(1, int(scale)))


def test_what_is_outside_the_image_is_not_shown() -> None:
    mask = np.ones((64, 64), bool)
    half = np.array([[1, 0, -32], [0, 1, 0], [0, 0, 1.0]])
    assert inside_share(np.eye(3), (64, 64), mask) == 1.0
    assert inside_share(half, (64, 64), mask) == pytest.approx(0.5, abs=0.07)
    assert inside_share(half, (64, 64), np.zeros((64, 64), bool)) == 1.0


def test_a_part_image_inside_its_source_is_shown_whole() -> None:
    assert shown_mask(np.eye(3), (64, 64), (64, 64), 4) is None


def test_what_lies_beyond_the_border_and_near_it_does_not_count() -> None:
    shifted = np.array([[1, 0, -20], [0, 1, 0], [0, 0, 1.0]])
    shown = shown_mask(shifted, (64, 64), (64, 64), 4)
    assert shown is not None
    # The border that is crossed costs its margin, the others cost nothing.
    assert not shown[:, :23].any() and shown[:, 25:].all()
