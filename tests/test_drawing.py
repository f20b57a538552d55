"""Drawing: exact places, any kind of pixels, and a tray with the verdicts of its parts."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.decision import Inspection, Limits, Region, Verdict
from goodpart.drawing import VERDICT_COLORS, as_picture, draw_label, draw_outline, draw_tray


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_any_pixels_become_a_picture_that_can_be_drawn_on(dtype, shape):
    pixels = np.zeros(shape, dtype=dtype)
    picture, factor = as_picture(pixels)
    draw_outline(picture, np.array([[5, 5], [20, 5], [20, 20], [5, 20]]), (255, 0, 0), width=1)
    assert factor == 1.0
    assert picture.dtype == np.uint8
    assert picture.shape == (30, 40, 3)
    assert picture[5, 10, 0] > 200
    assert picture[5, 10, 1:].tolist() == [0, 0]
    assert picture[10, 10].tolist() == [0, 0, 0]
    assert not pixels.any()


def test_labels_stay_inside_the_picture_whatever_they_say():
    picture, _ = as_picture(np.zeros((60, 200), np.uint8))
    for place in ((-50, -50), (500, 500), (3, 3)):
        draw_label(picture, "왼쪽 위 0.99", np.array(place), (200, 30, 40))
    assert picture.any()


def is_near(pixel, color):
    """Lines are smoothed, and so paler where they are thin."""
    return np.abs(pixel.astype(int) - color).max() < 40


def inspection(verdict, pocket, x, *, image=True, reason=None, regions=()):
    transform = np.array([[2.0, 0, x], [0, 2.0, 40], [0, 0, 1]])
    judged = verdict is not Verdict.NOT_JUDGED
    return Inspection(
        verdict,
        source="a.bmp",
        part=f"a_{pocket}",
        score=0.5 if judged else None,
        limits=Limits(0.4, 0.6),
        reason=reason,
        regions=regions,
        image=np.zeros((50, 50), np.uint8) if image else None,
        transform=transform if pocket else None,
        pocket=pocket,
    )


def share_of(picture, color):
    return float((np.abs(picture.astype(int) - color).sum(axis=2) < 20).mean())


def test_each_part_is_framed_in_the_colour_of_its_verdict_where_it_lies():
    region = Region(10, 10, 9, 9, 81, 1.0, 0.9, ((10, 10), (18, 10), (18, 18), (10, 18)))
    picture = draw_tray(
        np.full((200, 500), 90, np.uint8),
        [
            inspection(Verdict.OK, "left", 40),
            inspection(Verdict.NG, "middle", 200, regions=(region,)),
            inspection(Verdict.NOT_JUDGED, "right", 360, image=False, reason="empty"),
        ],
    )
    assert picture.shape == (200, 500, 3)
    for word, x in (("OK", 40), ("NG", 200), ("NOT_JUDGED", 360)):
        assert is_near(picture[120, x], VERDICT_COLORS[word])
    # The region's contour, two tray pixels for each of the part image's.
    assert is_near(picture[70, 220], VERDICT_COLORS["NG"])
    assert share_of(picture[:, :190], VERDICT_COLORS["NG"]) == 0


def test_what_has_no_place_is_written_in_the_corner():
    whole = inspection(Verdict.NOT_JUDGED, None, 0, image=False, reason="rotated")
    picture = draw_tray(np.full((200, 500), 90, np.uint8), [whole])
    assert share_of(picture[:40, :200], VERDICT_COLORS["NOT_JUDGED"]) > 0.05


def test_a_large_tray_is_drawn_smaller_with_everything_in_its_place():
    picture = draw_tray(
        np.full((400, 1000), 90, np.uint8), [inspection(Verdict.OK, "a", 200)], max_side=500
    )
    assert picture.shape == (200, 500, 3)
    assert is_near(picture[60, 100], VERDICT_COLORS["OK"])
