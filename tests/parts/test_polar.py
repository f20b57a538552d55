"""The polar view: rings become straight bands, and score maps come back to their place."""

from __future__ import annotations

import cv2
import numpy as np

from goodpart.parts.polar import PolarView


def test_rings_become_even_rows() -> None:
    rows, columns = np.ogrid[:256, :256]
    ring = (np.hypot(rows - 127.5, columns - 127.5) * 2).clip(0, 255).astype(np.uint8)
    view = PolarView((256, 256)).unwrap(ring)
    assert view.std(axis=1).max() < 1.5
    assert view[0].mean() > view[-1].mean()


def test_a_spot_comes_back_to_where_it_was() -> None:
    polar = PolarView((256, 256))
    for x, y in ((200, 128), (128, 40), (60, 180), (205, 127)):
        image = np.zeros((256, 256), np.uint8)
        cv2.circle(image, (x, y), 6, 255, -1)
        view = polar.unwrap(image).astype(np.float32)
        # A detector's map is coarser than what it saw.
        coarse = cv2.resize(
            view, (view.shape[1] // 4, view.shape[0] // 4), interpolation=cv2.INTER_AREA
        )
        back = polar.wrap(coarse)
        row, column = np.unravel_index(back.argmax(), back.shape)
        assert abs(column * 4 + 1.5 - x) < 5 and abs(row * 4 + 1.5 - y) < 5


def test_corners_outside_the_circle_are_zero() -> None:
    polar = PolarView((128, 160))
    back = polar.wrap(np.ones((polar.shape[0] // 4, polar.shape[1] // 4), np.float32))
    assert back[0, 0] == 0 and back[16, 20] == 1
