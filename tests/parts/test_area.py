"""Means over areas are those of OpenCV, and of plain blocks."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.area import area_means


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 90), st.integers(2, 90), st.data())
def test_means_are_those_of_opencv(height: int, width: int, data: st.DataObject) -> None:
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    values = rng.integers(0, 256, (height, width)).astype(np.uint8)
    expected = cv2.resize(
        values.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA
    ).reshape(size)
    np.testing.assert_allclose(area_means(values, size), expected, atol=0.05)


def test_whole_blocks_and_a_size_that_stays() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(4, 6)
    blocks = values.reshape(2, 2, 3, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(area_means(values, (2, 3)), blocks)
    np.testing.assert_allclose(area_means(values, (4, 6)), values)
