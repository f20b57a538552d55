"""The algebra behind a Gaussian per cell: leaving out, shrinking, finding a covariance again."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.detectors.cell_gaussians import CellGaussians
from goodpart.detectors.deviation import by_size
from goodpart.detectors.whitening import left_out, oas_shrinkage, unshrunk
from goodpart.progress import silent


class Kept:
    """Features of images (N, rows, columns, channels) as a store gives them."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values.astype(np.float16)

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.values[:, start:stop].astype(np.float32)


@pytest.mark.parametrize("group", [[3], [3, 5, 9]])
def test_leaving_a_source_out_equals_a_new_fit(group: list[int]) -> None:
    rng = np.random.default_rng(0)
    count, cells, channels, weight = 40, 4, 12, 0.05
    values = rng.normal(size=(count, cells, channels)) @ rng.normal(size=(channels, channels))

    def moments(some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = some.mean(0)
        rows = (some - mean).reshape(-1, channels)
        return mean, rows.T @ rows / len(rows)

    mean, scatter = moments(values)
    target = weight * np.trace(scatter) / channels * np.eye(channels)
    whitening = np.linalg.inv(np.linalg.cholesky((1 - weight) * scatter + target)).T
    white = ((values - mean) @ whitening).astype(np.float32)
    found = left_out(white[[group]], count, weight)[0]

    rest_mean, rest_scatter = moments(np.delete(values, group, axis=0))
    inverse = np.linalg.inv((1 - weight) * rest_scatter + target)
    query = values[group] - rest_mean
    expected = np.sqrt(np.einsum("kci,ij,kcj->kc", query, inverse, query))
    # The shrinkage target is kept: a difference of 1 in N on a twentieth of the trace.
    assert np.allclose(found, expected, rtol=0.02)
    assert (found > np.linalg.norm(white[group], axis=-1)).all()


def test_shrinkage_falls_with_the_number_of_images() -> None:
    rng = np.random.default_rng(0)
    covariance = np.cov(rng.normal(size=(30, 500)) * np.arange(1, 31)[:, None])
    few, many = oas_shrinkage(covariance, 10), oas_shrinkage(covariance, 1000)
    assert 0 < many < few <= 1


def test_a_covariance_is_found_again_in_its_whitening() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 12)) * np.linspace(0.2, 3, 12)
    covariance = rows.T @ rows / 200
    weight = 0.1
    shrunk = (1 - weight) * covariance + weight * np.trace(covariance) / 12 * np.eye(12)
    whitening = np.linalg.inv(np.linalg.cholesky(shrunk)).T
    np.testing.assert_allclose(unshrunk(whitening, weight), covariance, atol=1e-9)
    np.testing.assert_array_equal(unshrunk(np.eye(12, dtype=np.float32), 1.0), np.zeros((12, 12)))


@pytest.mark.parametrize("far", [30, 300, 3000])
def test_a_source_unlike_all_others_never_hides_itself(far: float) -> None:
    """It makes nearly all the variance of a direction: without it hardly anything is left."""
    rng = np.random.default_rng(0)
    sources, captures, channels = 20, 16, 72
    values = rng.normal(size=(sources, captures, 2, 2, channels))
    values[0] += far * rng.normal(size=channels)
    names = [str(source) for source in range(sources) for _ in range(captures)]
    gaussians = CellGaussians((2, 2), channels, None, smoothing=0)
    store = Kept(values.reshape(-1, 2, 2, channels))
    held_out = gaussians.fit(store, by_size(names), silent)  # type: ignore[arg-type]
    peaks = np.array([held.raw_map.max() for held in held_out]).reshape(sources, captures)
    assert np.isfinite(peaks).all()
    assert peaks[0].min() > 5 * peaks[1:].max()


def test_a_place_where_hardly_anything_varies_gives_finite_scores() -> None:
    rng = np.random.default_rng(0)
    values = np.zeros((30, 2, 4, 32))
    values[:, :, 2:] = rng.normal(size=(30, 2, 2, 32))
    values[7, 0, 0, 5] = 1e-6
    gaussians = CellGaussians((2, 4), 32, None, smoothing=0)
    held_out = gaussians.fit(Kept(values), by_size([str(i) for i in range(30)]), silent)  # type: ignore[arg-type]
    assert all(np.isfinite(held.raw_map).all() for held in held_out)
    odd = values[0].astype(np.float32)
    assert np.isfinite(gaussians.score_map(odd)).all()
    odd[0, 0] += 1
    assert gaussians.score_map(odd)[0, 0] > 100, "what never varied is new"
