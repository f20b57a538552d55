from __future__ import annotations

import numpy as np
import pytest

from goodpart.training.collapse import compare

RNG = np.random.default_rng(0)
IMAGES = [RNG.random((32, 32), dtype=np.float32) for _ in range(4)]


def test_a_constant_output_is_a_collapse() -> None:
    grey = np.full((32, 32), 0.5, dtype=np.float32)
    found = compare((image, grey) for image in IMAGES)
    assert found.collapsed and found.explained == pytest.approx(0, abs=0.01)
    assert "collapsed" in (found.warning() or "")


def test_a_good_reconstruction_is_none() -> None:
    found = compare((image, image + 0.01) for image in IMAGES)
    assert not found.collapsed and found.warning() is None
    assert found.error == pytest.approx(1e-4, rel=1e-3)


def test_a_loss_stuck_at_the_variance_is_a_collapse_even_with_contrast() -> None:
    found = compare((image, RNG.permuted(image)) for image in IMAGES)
    assert found.contrast == pytest.approx(1) and found.collapsed


def test_a_faint_copy_is_a_collapse() -> None:
    found = compare((image, 0.5 + 0.05 * (image - 0.5)) for image in IMAGES)
    assert found.collapsed


def test_images_without_contrast_cannot_collapse() -> None:
    flat = np.full((8, 8), 0.3, dtype=np.float32)
    assert not compare([(flat, flat)]).collapsed


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        compare([])
