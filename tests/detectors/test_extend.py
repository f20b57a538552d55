"""Learning more images gives what learning all of them at once gives, as far as is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from goodpart.detectors import create_detector
from goodpart.detectors.deviation import Moments
from goodpart.parts.render import render_part

SETTINGS: dict[str, dict[str, Any]] = {
    "ensemble": {"resolution": 128, "size": 200},
    "gaussian": {"resolution": 128},
    "memory": {"resolution": 128, "size": 200},
    "variation": {},
}


@pytest.fixture(scope="module")
def caps() -> list[Any]:
    rngs = [np.random.default_rng(seed) for seed in range(40)]
    return [render_part("cap", rng, size=128, angle=0.0).image for rng in rngs]


def restored(name: str, images: list[Any]) -> Any:
    """Fitted, saved and loaded again."""
    fitted = create_detector(name, SETTINGS[name]).fit(images)
    return create_detector(name, SETTINGS[name]).restore(fitted.state())


def test_gaussian_distances_equal_those_of_a_model_of_all_images(caps: list[Any]) -> None:
    everything = restored("gaussian", caps)
    later = restored("gaussian", caps[:36]).extend(caps[36:])
    cells = everything.cells_(caps[5])
    np.testing.assert_allclose(
        later.gaussians_.distance(cells), everything.gaussians_.distance(cells), rtol=2e-3
    )
    np.testing.assert_allclose(later.gaussians_.mean, everything.gaussians_.mean, atol=1e-4)
    assert later.gaussians_.moments.count == everything.gaussians_.moments.count
    score = [d.score(d.raw_map(caps[5])) for d in (later, everything)]
    assert score[0] == pytest.approx(score[1], rel=0.15), "what is usual at a place is kept"


@pytest.mark.parametrize("name", SETTINGS)
def test_new_images_are_held_out_of_their_own_scores(caps: list[Any], name: str) -> None:
    detector = restored(name, caps[:36])
    odd = caps[36].copy()
    odd[50:80, 50:80] = 0
    before = detector.score(detector.raw_map(odd))
    detector.extend([odd, caps[37]])
    assert [held.index for held in detector.held_out_] == [0, 1]
    held_out = detector.score(detector.held_out_[0].raw_map)
    after = detector.score(detector.raw_map(odd))
    assert after < before, "it was learned"
    assert after < held_out, "its own score comes from a model that did not see it"


@pytest.mark.parametrize("name", SETTINGS)
def test_an_extended_detector_is_the_same_after_saving(caps: list[Any], name: str) -> None:
    detector = restored(name, caps[:30]).extend(caps[30:34])
    again = create_detector(name, SETTINGS[name]).restore(detector.state())
    np.testing.assert_array_equal(again.raw_map(caps[39]), detector.raw_map(caps[39]))


def test_the_memory_keeps_its_bound(caps: list[Any]) -> None:
    detector = restored("memory", caps[:30])
    assert len(detector.extend(caps[30:]).bank_) == len(restored("memory", caps[:30]).bank_) == 200


def test_moments_can_be_added_and_taken_away() -> None:
    values = np.random.default_rng(0).normal(10, 1, (30, 4, 5)).astype(np.float32)
    first, second = Moments.of(values[:20]), Moments.of(values[20:])
    both = first.plus(second)
    np.testing.assert_allclose(both.deviation, values.std(axis=0), rtol=1e-4)
    np.testing.assert_allclose(both.plus(second, -1).mean, first.mean, rtol=1e-5)
