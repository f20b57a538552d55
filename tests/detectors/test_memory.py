"""The memory of good features: its coreset, its exact search, its held-out distances."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.detectors.memory import Memory
from goodpart.errors import TrainingError


def images(count: int = 8, side: int = 64, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    stripes = 120 + 60 * np.sin(np.arange(side) / 3)[None, :].repeat(side, 0)
    noisy = (stripes + rng.normal(0, 6, stripes.shape) for _ in range(count))
    return [np.clip(pixels, 0, 255).astype(np.uint8) for pixels in noisy]


@pytest.fixture(scope="module")
def fitted() -> Memory:
    return Memory(resolution=64, size=200).fit(images())


def test_the_search_is_exact(fitted: Memory) -> None:
    cells = fitted._with_place(fitted.cells_(images(1, seed=2)[0]))
    flat = cells.reshape(-1, cells.shape[2]).astype(np.float64)
    expected = np.linalg.norm(
        flat[:, None] - fitted.bank_.features[None].astype(np.float64), axis=2
    ).min(1)
    assert np.allclose(fitted.bank_.distance(cells).ravel(), expected, rtol=1e-3, atol=1e-2)


def test_a_spot_scores_higher_than_good_parts(fitted: Memory) -> None:
    bad = images(1, seed=3)[0].copy()
    bad[20:30, 20:30] = 250
    assert fitted.raw_map(bad).max() > 2 * fitted.raw_map(images(1, seed=3)[0]).max()


def test_the_memory_is_bounded_whatever_the_number_of_images() -> None:
    few = Memory(resolution=64, size=50, pool=300).fit(images(6))
    many = Memory(resolution=64, size=50, pool=300).fit(images(24))
    assert few.bank_.features.shape == many.bank_.features.shape == (50, few.cells_.channels + 2)


def test_an_image_is_not_compared_with_itself() -> None:
    odd = images(1, seed=7)[0].copy()
    odd[10:50, 10:50] = 255 - odd[10:50, 10:50]
    detector = Memory(resolution=64, size=400).fit([*images(8), odd])
    assert detector.held_out_[-1].raw_map.max() > 3 * detector.raw_map(odd).max()


def test_a_restored_detector_gives_exactly_the_same_map(fitted: Memory) -> None:
    restored = Memory(resolution=64, size=200).restore(fitted.state())
    image = images(1, seed=4)[0]
    assert np.array_equal(restored.raw_map(image), fitted.raw_map(image))


def test_the_same_seed_gives_the_same_memory(fitted: Memory) -> None:
    again = Memory(resolution=64, size=200).fit(images())
    assert np.array_equal(again.bank_.features, fitted.bank_.features)


def test_one_source_is_too_few() -> None:
    with pytest.raises(TrainingError, match="two sources"):
        Memory(resolution=64).fit(images(4), groups=["a"] * 4)
