from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.generators.codes import codes_of

Make = Callable[..., NDArray[np.uint8]]


def test_codes_are_spread_like_the_noise_and_tell_the_images_apart(make: Make) -> None:
    codes = codes_of(make(30)[..., None], 8)
    assert codes.shape == (30, 8) and codes.dtype == np.float32
    assert np.allclose(codes.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(codes.T @ codes / 30, np.eye(8), atol=1e-4)
    apart = np.linalg.norm(codes[:, None] - codes[None], axis=2)[~np.eye(30, dtype=bool)]
    assert apart.min() > 0.5


def test_what_few_images_do_not_decide_is_left_open(make: Make) -> None:
    codes = codes_of(make(5)[..., None], 8)
    assert np.isfinite(codes[:, :4]).all() and np.isnan(codes[:, 4:]).all()


def test_equal_images_have_no_code_at_all() -> None:
    assert np.isnan(codes_of(np.full((9, 16, 16, 1), 7, np.uint8), 8)).all()


def test_images_follow_from_their_codes(make: Make) -> None:
    images = make(12)[..., None]
    codes = codes_of(images, 11)
    rows = images.reshape(12, -1).astype(float)
    # Linear in the codes, without a rest: eleven components span twelve images.
    found = codes @ (codes.T @ rows) / 12 + rows.mean(axis=0)
    assert found == pytest.approx(rows, abs=0.1)
