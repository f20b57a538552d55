"""The Gaussian per place: its leave-one-out distances, its mask, its saved state."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart.detectors import create_detector
from goodpart.detectors.gaussian import Gaussian
from goodpart.errors import NotFittedError, RecipeError, TrainingError


def images(count: int = 14, side: int = 64, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:side, :side]
    rings = 120 + 60 * np.cos(np.hypot(yy - side / 2, xx - side / 2) / 3)
    return [
        np.clip(rings + rng.normal(0, 6, rings.shape), 0, 255).astype(np.uint8)
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def fitted() -> Gaussian:
    return Gaussian(resolution=64).fit(images())


def test_held_out_maps_cover_every_image_once(fitted: Gaussian) -> None:
    assert [held.index for held in fitted.held_out_] == list(range(14))
    assert all(held.raw_map.shape == (8, 8) for held in fitted.held_out_)


def test_a_spot_scores_higher_than_good_parts_and_where_it_is(fitted: Gaussian) -> None:
    good, bad = images(1, seed=3)[0], images(1, seed=3)[0].copy()
    bad[16:26, 40:50] = 250
    good_map, bad_map = fitted.raw_map(good), fitted.raw_map(bad)
    assert bad_map.max() > 2 * good_map.max()
    row, column = np.unravel_index(bad_map.argmax(), bad_map.shape)
    assert abs(row * 8 + 4 - 21) <= 10
    assert abs(column * 8 + 4 - 45) <= 10


def test_a_restored_detector_gives_exactly_the_same_map(fitted: Gaussian) -> None:
    restored = Gaussian(resolution=64).restore(fitted.state())
    image = images(1, seed=4)[0]
    assert np.array_equal(restored.raw_map(image), fitted.raw_map(image))


def test_a_batch_gives_the_same_maps_as_single_images(fitted: Gaussian) -> None:
    some = images(3, seed=5)
    together = fitted.raw_maps(some)
    assert all(np.array_equal(m, fitted.raw_map(i)) for m, i in zip(together, some, strict=True))


def test_fitting_twice_gives_the_same_detector(fitted: Gaussian) -> None:
    again = Gaussian(resolution=64).fit(images())
    assert np.array_equal(again.gaussians_.whitening, fitted.gaussians_.whitening)


def test_masked_cells_score_nothing(fitted: Gaussian) -> None:
    mask = np.zeros((64, 64), bool)
    mask[:, :32] = True
    half = Gaussian(resolution=64).fit(images(), mask=mask)
    bad = images(1, seed=3)[0].copy()
    bad[16:26, 44:54] = 250
    assert np.all(half.raw_map(bad)[:, 4:] == 0)


def test_parts_that_all_look_the_same_are_no_crash() -> None:
    flat = [np.full((32, 32), 100, np.uint8) for _ in range(4)]
    detector = Gaussian(resolution=32).fit(flat)
    assert np.isfinite(detector.raw_map(flat[0])).all()


def test_copies_of_one_source_are_left_out_together() -> None:
    some = images(6)
    doubled = [image for image in some for _ in range(2)]
    groups = [str(index // 2) for index in range(12)]
    together = Gaussian(resolution=64).fit(doubled, groups=groups)
    apart = Gaussian(resolution=64).fit(doubled)
    score = [max(h.raw_map.max() for h in d.held_out_) for d in (together, apart)]
    assert score[0] > score[1], "a copy that stays in makes its twin look better than it is"


def test_one_source_is_too_few() -> None:
    with pytest.raises(TrainingError, match="two sources"):
        Gaussian(resolution=64).fit(images(1))


def test_scores_before_fitting_are_refused() -> None:
    with pytest.raises(NotFittedError, match="gaussian"):
        Gaussian().raw_map(images(1)[0])


def test_unknown_settings_and_detectors_are_one_line() -> None:
    with pytest.raises(RecipeError, match="has no such setting; it has: backbone"):
        create_detector("gaussian", {"epochs": 3})
    with pytest.raises(RecipeError, match=r"resolution='big'"):
        create_detector("gaussian", {"resolution": "big"})
    with pytest.raises(RecipeError, match="no detector is called 'magic'"):
        create_detector("magic", {})
