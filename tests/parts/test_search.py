"""The search by edge directions: same place, whatever the light, and nothing in plain noise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.search import (
    Searcher,
    Shape,
    from_reduced,
    gradient_field,
    reduced,
    to_reduced,
)

TURNS = np.linspace(0, 2 * np.pi, 60, endpoint=False)
RING = np.stack([np.cos(TURNS), np.sin(TURNS)], axis=1)
CIRCLE = Shape(12 * RING, -RING, 12.0, 24.0)


def picture(*centres, light=1.0, noise=0.0):
    image = np.full((90, 120), 20, np.float32)
    for x, y in centres:
        cv2.circle(image, (x * 16, y * 16), 12 * 16, (120,), -1, cv2.LINE_AA, 4)
    grain = np.random.default_rng(0).normal(0, 1, image.shape)
    return np.clip(light * image + noise * grain, 0, 255).astype(np.uint8)


def perfect():
    hits = Searcher([CIRCLE], (90, 120)).search(gradient_field(picture((60, 45))), least=0.1)
    return hits[0].score


@given(x=st.integers(16, 103), y=st.integers(16, 73), light=st.floats(0.2, 2.0))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_shape_is_found_where_it_lies_in_any_light(x, y, light):
    searcher = Searcher([CIRCLE], (90, 120), perfect=perfect())
    hits = searcher.search(gradient_field(picture((x, y), light=light)), least=0.6)
    assert hits[0].centre == pytest.approx((x, y), abs=1)
    assert hits[0].score == pytest.approx(1, abs=0.2)


def test_two_touching_shapes_and_one_at_the_border_are_three_hits():
    searcher = Searcher([CIRCLE], (90, 120), perfect=perfect())
    hits = searcher.search(gradient_field(picture((40, 45), (65, 45), (112, 60))), least=0.6)
    centres = sorted(hit.centre for hit in hits)
    assert len(centres) == 3
    assert np.allclose(centres, [(40, 45), (65, 45), (112, 60)], atol=1.5)


def test_noise_alone_is_no_hit():
    searcher = Searcher([CIRCLE], (90, 120), perfect=perfect())
    assert searcher.search(gradient_field(picture(noise=3.0)), least=0.6) == []


def test_a_known_strength_keeps_faint_edges_from_counting():
    faint = picture((60, 45), light=0.03)
    searcher = Searcher([CIRCLE], (90, 120), perfect=perfect())
    assert searcher.search(gradient_field(faint, edge=40.0), least=0.4) == []


@given(value=st.floats(-50, 5000), factor=st.integers(1, 40))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_reduced_coordinates_lead_back(value, factor):
    assert from_reduced(to_reduced(value, factor), factor) == pytest.approx(value, abs=1e-6)


def test_reducing_averages_and_drops_what_is_left_over():
    image = np.arange(7 * 10, dtype=np.uint8).reshape(7, 10)
    small = reduced(image, 3)
    assert small.shape == (2, 3)
    assert small[0, 0] == round(float(image[:3, :3].mean()))
    assert reduced(image, 1) is image
