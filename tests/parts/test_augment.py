from __future__ import annotations

import numpy as np
import pytest

from goodpart.parts.augment import add_noise, rotate, variants

IMAGE = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10


def test_four_quarter_turns_give_the_image_back() -> None:
    turned = IMAGE
    for _ in range(4):
        turned = rotate(turned, 90)
    assert np.array_equal(turned, IMAGE)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    assert np.array_equal(rotate(IMAGE, 90)[-1], IMAGE[:, 0])


def test_other_angles_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 90"):
        rotate(IMAGE, 45)


def test_noise_has_the_asked_spread_and_stays_in_range() -> None:
    grey = np.full((200, 200), 128, dtype=np.uint8)
    noisy = add_noise(grey, np.random.default_rng(0), 0.05)
    assert noisy.dtype == np.uint8
    assert abs(noisy.astype(float).std() - 0.05 * 255) < 0.3
    white = add_noise(np.full((200, 200), 255, dtype=np.uint8), np.random.default_rng(0))
    assert white.max() == 255 and white.min() > 150


def test_noise_keeps_the_depth_of_float_images() -> None:
    noisy = add_noise(np.full((8, 8), 100, dtype=np.float32), np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert not np.array_equal(noisy, np.round(noisy))


def test_each_rotation_comes_clean_and_noisy() -> None:
    names = [v.name for v in variants(IMAGE, np.random.default_rng(0))]
    assert names == [
        "original",
        "noisy",
        "rotated_090",
        "rotated_090_noisy",
        "rotated_180",
        "rotated_180_noisy",
        "rotated_270",
        "rotated_270_noisy",
    ]


def test_the_same_seed_gives_the_same_variants() -> None:
    def draw() -> list[np.ndarray]:
        rng = np.random.default_rng(7)
        found = variants(IMAGE, rng, mirror=True, gains=(0.9,), blurs=(1.0,))
        return [variant.pixels for variant in found]

    assert all(np.array_equal(a, b) for a, b in zip(draw(), draw(), strict=True))
