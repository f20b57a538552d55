from __future__ import annotations

import numpy as np
import pytest

from goodpart.generators.measures import (
    Describer,
    Standard,
    distances,
    kernel_distance,
    measure,
    precision_recall,
)


def cloud(count: int, *, shift: float = 0.0, spread: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (shift + spread * rng.standard_normal((count, 8))) / np.sqrt(8)


def test_kernel_distance_is_unbiased_for_one_distribution_and_grows_with_a_shift() -> None:
    same = [kernel_distance(cloud(40, seed=s), cloud(30, seed=s + 100)) for s in range(60)]
    error = np.std(same) / np.sqrt(len(same))
    assert abs(np.mean(same)) < 4 * error
    far = [kernel_distance(cloud(40), cloud(30, shift=s, seed=1)) for s in (0.5, 1, 2)]
    assert max(same) < far[1] < far[2] and far[0] < far[1]


def test_kernel_distance_is_that_of_the_definition() -> None:
    x, y = cloud(5), cloud(4, seed=3)
    kernel = lambda a, b: (float(a @ b) + 1) ** 3  # noqa: E731
    own_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    own_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    cross = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(own_x + own_y - 2 * cross)


def test_precision_and_recall_tell_fidelity_from_diversity() -> None:
    real = cloud(200)
    narrow = precision_recall(real, cloud(200, spread=0.1, seed=1))
    wild = precision_recall(real, cloud(200, shift=20, seed=2))
    alike = precision_recall(real, cloud(200, seed=3))
    assert narrow[0] > 0.95 and narrow[1] < 0.2 and narrow[2] < 0.5
    assert wild == (0, 0, 0)
    assert min(alike) > 0.6


def test_what_too_few_images_cannot_say_is_none() -> None:
    figures = measure(cloud(10), cloud(3))
    assert figures["kid"] is None and figures["precision"] is None
    assert figures["kid_between_real_halves"] is not None


def test_distances_are_euclidean() -> None:
    a, b = cloud(3), cloud(2, seed=1)
    found = distances(a, b)
    assert found == pytest.approx(np.linalg.norm(a[:, None] - b[None], axis=2))
    assert np.diag(distances(a, a)) == pytest.approx(np.zeros(3), abs=1e-6)


def test_a_feature_without_spread_does_not_dominate() -> None:
    real = cloud(50).astype(np.float32)
    real[:, 0] = 1.0
    standard = Standard.of(real)
    other = real.copy()
    other[:, 0] += 0.01
    assert np.abs(standard(other) - standard(real)).max() < 1


def test_like_parts_have_like_descriptions() -> None:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    disc = np.where(np.hypot(rows - 32, columns - 32) < 25, 180, 40)
    stripes = np.where(rows // 8 % 2, 180, 40)
    noisy = [image + rng.normal(0, 3, image.shape) for image in (disc, disc, stripes)]
    a, b, c = Describer((64, 64))([image.clip(0, 255).astype(np.uint8) for image in noisy])
    assert np.linalg.norm(a - b) < np.linalg.norm(a - c) / 3
