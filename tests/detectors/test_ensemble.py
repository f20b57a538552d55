"""Gaussians and a memory, added: what each brings, and that saving and exporting keep both."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.detectors.ensemble import Ensemble
from goodpart.detectors.gaussian import Gaussian
from goodpart.errors import ModelError, TrainingError


def images(count: int = 16, side: int = 128, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    stripes = 120 + 60 * np.sin(np.arange(side) / 3)[None, :].repeat(side, 0)
    noisy = (stripes + rng.normal(0, 6, stripes.shape) for _ in range(count))
    return [np.clip(pixels, 0, 255).astype(np.uint8) for pixels in noisy]


def marked(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """With a dark square, such as some good parts carry somewhere."""
    copy = image.copy()
    copy[row : row + 20, column : column + 20] = 20
    return copy


def scratched(image: np.ndarray, row: int, column: int) -> np.ndarray:
    """With a bright cross, such as none carries."""
    copy = image.copy()
    copy[row + 8 : row + 12, column : column + 20] = 250
    copy[row : row + 20, column + 8 : column + 12] = 250
    return copy


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    return Ensemble(resolution=128, size=300).fit(images())


def test_maps_are_the_weighted_sum_of_both(fitted: Ensemble) -> None:
    image = scratched(images(1, seed=3)[0], 40, 60)
    cells = fitted.cells_(image)
    first, second = fitted.gaussians_.score_map(cells), fitted.rare_.score_map(cells)
    np.testing.assert_allclose(fitted.raw_map(image), first + 0.5 * second, rtol=1e-6)
    assert second.shape == first.shape and second.max() > 5, "the memory finds it too"


def test_held_out_maps_are_those_of_a_model_without_the_image() -> None:
    odd = scratched(images(1, seed=7)[0], 40, 60)
    detector = Ensemble(resolution=128, size=3000).fit([*images(), odd])
    assert [held.index for held in detector.held_out_] == list(range(17))
    apart = Ensemble(resolution=128, size=3000).fit(images())
    held_out, new = detector.held_out_[-1].raw_map.max(), apart.raw_map(odd).max()
    assert held_out > 2 * detector.raw_map(odd).max(), "it was remembered"
    assert held_out == pytest.approx(new, rel=0.4)


def test_a_mark_that_good_parts_carry_anywhere_counts_less_than_with_gaussians_alone() -> None:
    rng = np.random.default_rng(0)
    good = images(40)
    for index in range(0, 40, 4):
        good[index] = marked(good[index], *rng.integers(8, 100, 2))
    fresh = images(1, seed=5)[0]
    known, defect = marked(fresh, 90, 24), scratched(fresh, 90, 24)

    def apart(detector: Gaussian) -> float:
        return float(detector.raw_map(defect).max() / detector.raw_map(known).max())

    alone = Gaussian(resolution=128).fit(good)
    both = Ensemble(resolution=128, weight=2.0).fit(good)
    assert apart(both) > 1 > apart(alone)


def test_a_mask_hides_what_does_not_count() -> None:
    mask = np.zeros((128, 128), bool)
    mask[:, :64] = True
    half = Ensemble(resolution=128, size=300).fit(images(), mask=mask)
    assert np.all(half.raw_map(scratched(images(1, seed=3)[0], 40, 90))[:, 10:] == 0)
    assert half.raw_map(scratched(images(1, seed=3)[0], 40, 20)).max() > 5


def test_a_mask_may_be_as_thin_as_a_single_row_of_cells() -> None:
    mask = np.zeros((128, 128), bool)
    mask[48:56] = True
    thin = Ensemble(resolution=128, size=300).fit(images(), mask=mask)
    good = images(1, seed=3)[0]
    assert thin.raw_map(scratched(good, 44, 60)).max() > 2 * thin.raw_map(good).max()


def test_a_mask_may_be_thinner_than_half_a_cell_of_the_memory() -> None:
    mask = np.zeros((128, 128), bool)
    mask[48:56, 64:72] = True
    spot = Ensemble(resolution=128, size=300).fit(images(), mask=mask)
    assert spot.rare_.mask is not None and spot.rare_.mask.sum() == 1
    good = images(1, seed=3)[0]
    assert spot.raw_map(scratched(good, 44, 60)).max() > 2 * spot.raw_map(good).max()


def test_a_restored_detector_gives_exactly_the_same_map(fitted: Ensemble) -> None:
    restored = Ensemble(resolution=128, size=300).restore(fitted.state())
    image = images(1, seed=4)[0]
    assert np.array_equal(restored.raw_map(image), fitted.raw_map(image))


def test_the_same_seed_gives_the_same_memory_and_another_one_another(fitted: Ensemble) -> None:
    again = Ensemble(resolution=128, size=300).fit(images())
    assert np.array_equal(again.rare_.bank.features, fitted.rare_.bank.features)
    other = Ensemble(resolution=128, size=300).fit(images(), seed=1)
    assert not np.array_equal(other.rare_.bank.features, fitted.rare_.bank.features)


def test_the_memory_is_bounded_whatever_the_number_of_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("goodpart.detectors.rare_cells.CANDIDATES", 400)
    few, many = (Ensemble(resolution=128, size=100).fit(images(n)) for n in (8, 30))
    assert few.rare_.bank.features.shape == many.rare_.bank.features.shape == (100, 96)


def test_turns_are_for_the_gaussians_alone() -> None:
    detector = Ensemble(resolution=128, size=200, turns=True).fit(images(8))
    assert detector.gaussians_.moments.count == 32
    assert detector.rare_.moments.count == 8
    assert [held.index for held in detector.held_out_] == list(range(8))


def test_parts_that_all_look_the_same_are_no_crash() -> None:
    flat = [np.full((64, 64), 100, np.uint8) for _ in range(4)]
    detector = Ensemble(resolution=64).fit(flat)
    assert np.isfinite(detector.raw_map(flat[0])).all()


def test_one_source_is_too_few() -> None:
    with pytest.raises(TrainingError, match="ensemble needs good images from at least two"):
        Ensemble(resolution=64).fit(images(4, side=64), groups=["a"] * 4)


def test_a_model_without_its_memory_is_refused(fitted: Ensemble) -> None:
    state = fitted.state()
    del state.arrays["rare_bank"]
    with pytest.raises(ModelError, match="the ensemble model has no 'rare_bank'"):
        Ensemble(resolution=128, size=300).restore(state)
