"""Round parts are found to a fraction of a pixel, also at a slant."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.find_round import RoundFinder
from goodpart.parts.render import render_tray


def finder_for(radius, *, bright=True, tolerance=0.05, contrast=None):
    side = 2 * round(1.1 * radius)
    return RoundFinder(
        radius=radius,
        bright=bright,
        tolerance=tolerance,
        contrast=contrast,
        least_match=0.5,
        size=(side, side),
    )


def disc(size, centre, axes, angle, *, bright=True):
    """An ellipse with soft edges."""
    canvas = np.full(size, 40 if bright else 200, np.uint8)
    place = tuple(round(v * 16) for v in centre)
    lengths = tuple(round(v * 16) for v in axes)
    value = 190 if bright else 50
    cv2.ellipse(canvas, place, lengths, angle, 0, 360, value, -1, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(canvas, (0, 0), 1.2)


def test_centre_and_size_of_rendered_caps_are_exact(tray, learned):
    spots = learned("cap").spots
    centres, sizes = [], []
    for seed in range(3):
        shown = tray("cap", seed, tilt=8.0, gradient=0.4)
        found = spots.locate(shown.image)
        for pocket in shown.truth.pockets:
            part = pocket.part
            away = [np.linalg.norm(spot.centre - part.centre) for spot in found]
            best = found[int(np.argmin(away))]
            centres.append(min(away))
            radius = spots.radius * np.sqrt(np.linalg.det(best.matrix[:2, :2]))
            sizes.append(radius / np.sqrt(np.prod(part.axes)) - 1)
    assert len(centres) == 15
    assert max(centres) < 0.3
    assert np.abs(sizes).max() < 0.01


@given(
    x=st.floats(90, 210),
    y=st.floats(90, 160),
    slant=st.floats(0.85, 1.0),
    angle=st.floats(0, 180),
    bright=st.booleans(),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_an_ellipse_is_rectified_to_a_centred_circle(x, y, slant, angle, bright):
    axes = (50 / np.sqrt(slant), 50 * np.sqrt(slant))
    image = disc((250, 300), (x, y), axes, angle, bright=bright)
    (spot,) = finder_for(50, bright=bright).locate(image)
    assert np.linalg.norm(spot.centre - (x, y)) < 0.3
    # The cut image's circle of radius 50 is mapped onto the ellipse.
    turns = np.linspace(0, 2 * np.pi, 60)
    ring = 50 * np.stack([np.cos(turns), np.sin(turns)], axis=1) + 54.5
    mapped = ring @ spot.matrix[:2, :2].T + spot.matrix[:2, 2] - (x, y)
    turn = np.deg2rad(angle)
    own = mapped @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    assert np.abs(np.hypot(own[:, 0] / axes[0], own[:, 1] / axes[1]) - 1).max() < 0.02


def test_a_disc_of_another_size_or_the_other_polarity_is_no_part():
    image = disc((250, 300), (150, 125), (50, 50), 0)
    assert len(finder_for(50).locate(image)) == 1
    assert finder_for(40).locate(image) == []
    assert finder_for(50, bright=False).locate(image) == []


def test_a_faint_ring_such_as_an_empty_pocket_is_no_part():
    image = disc((250, 300), (150, 125), (50, 50), 0)
    faint = (40 + (image.astype(float) - 40) * 0.1).astype(np.uint8)
    assert finder_for(50, contrast=150).locate(faint) == []


def test_many_small_parts_are_all_found():
    shown = render_tray("cap", np.random.default_rng(3), size=(816, 683), layout=(6, 7), empty=0.1)
    radius = np.median([p.part.radius for p in shown.truth.pockets if p.part])
    found = finder_for(float(radius)).locate(shown.image)
    assert len(found) == sum(not pocket.empty for pocket in shown.truth.pockets)


def test_an_image_smaller_than_a_part_holds_none():
    assert finder_for(300).locate(np.zeros((20, 30), np.uint8)) == []
