from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.parts.synthetic import KINDS, VISIBLE, Kind, add_defect


def part(colour: bool = False) -> np.ndarray:
    rows, columns = np.mgrid[:96, :128]
    grey = (90 + 60 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint8)
    return np.stack([grey, grey // 2, 255 - grey], axis=2) if colour else grey


@given(seed=st.integers(0, 10_000), kind=st.sampled_from(KINDS), colour=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_defect_shows_and_its_mask_says_where(seed: int, kind: Kind, colour: bool) -> None:
    image = part(colour)
    defect = add_defect(image, np.random.default_rng(seed), kind=kind)
    assert defect.pixels.shape == image.shape and defect.pixels.dtype == image.dtype
    change = np.abs(defect.pixels.astype(float) - image)
    change = change.max(axis=2) if colour else change
    assert np.array_equal(change > VISIBLE, defect.mask)
    assert 0 < defect.mask.mean() < 0.5


def test_the_same_seed_draws_the_same_defect() -> None:
    first, second = (add_defect(part(), np.random.default_rng(3)) for _ in range(2))
    assert first.kind == second.kind
    assert np.array_equal(first.pixels, second.pixels)


def test_the_image_itself_is_left_alone() -> None:
    image = part()
    before = image.copy()
    for kind in KINDS:
        add_defect(image, np.random.default_rng(0), kind=kind)
    assert np.array_equal(image, before)


def test_the_defect_lies_where_it_may() -> None:
    within = np.zeros((96, 128), dtype=bool)
    within[20:24, 30:34] = True
    for seed in range(10):
        defect = add_defect(
            part(), np.random.default_rng(seed), kind="blob", within=within, size=(0.05, 0.08)
        )
        rows, columns = np.nonzero(defect.mask)
        assert abs(rows.mean() - 21.5) < 8 and abs(columns.mean() - 31.5) < 8


def test_a_mask_without_a_place_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        add_defect(part(), np.random.default_rng(0), within=np.zeros((96, 128), dtype=bool))


def test_float_images_stay_float() -> None:
    defect = add_defect(part().astype(np.float32), np.random.default_rng(0))
    assert defect.pixels.dtype == np.float32
