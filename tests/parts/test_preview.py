"""The preview shows parts, empty pockets and what was rejected in colours of their own."""

from __future__ import annotations

import numpy as np

from goodpart.parts.find import Found
from goodpart.parts.preview import draw_found


def near(picture, color):
    return np.abs(picture.astype(int) - color).sum(axis=2) < 60


def test_parts_are_green_empty_pockets_blue_and_the_rest_red(tray, learned):
    shown = tray("cap", 0, empty=0.3)
    found = learned("cap").find(shown.image, "a.bmp")
    picture = draw_found(shown.image, found)
    for pocket in shown.truth.pockets:
        x, y = (round(v) for v in pocket.pocket)
        around = picture[max(0, y - 140) : y + 140, max(0, x - 140) : x + 140]
        assert near(around, (90, 110, 150) if pocket.empty else (26, 127, 71)).sum() > 200
    assert near(picture, (200, 30, 40)).sum() == 0
    wrong = Found(None, np.eye(3), (683, 816), problem=("rotated", "a.bmp: turned"))
    assert near(draw_found(shown.image, [wrong]), (200, 30, 40)).sum() > 200


def test_large_trays_are_drawn_smaller():
    assert draw_found(np.zeros((1000, 2000), np.uint8), [], max_side=400).shape == (200, 400, 3)
