"""The tone curve through which a backbone sees part images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from goodpart.detectors.registry import create_detector
from goodpart.detectors.tone import apply_tone, choose_tone


def surfaces(light: NDArray[np.float64], seed: int = 0) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    grain = rng.normal(110, 12, (len(light), 64, 64)) * light[:, None, None]
    return list(np.clip(grain, 0, 255).astype(np.uint8))


def test_a_curve_is_taken_where_the_light_varies() -> None:
    steady = np.linspace(0.95, 1.05, 20)
    assert choose_tone(surfaces(steady), None) == "linear"
    assert choose_tone(surfaces(np.linspace(0.4, 1.6, 20)), None) == "log"


def test_light_outside_the_mask_does_not_count() -> None:
    images = surfaces(np.ones(12))
    for index, image in enumerate(images):
        image[:32] = 20 * index
    mask = np.zeros((64, 64), np.bool_)
    mask[32:] = True
    assert choose_tone(images, None) == "log"
    assert choose_tone(images, mask) == "linear"


def test_the_curve_keeps_the_range_and_evens_out_light() -> None:
    image = np.array([[0, 60, 66, 200, 220, 255]], np.float32)
    curved = apply_tone(image, "log")
    assert curved[0, 0] == 0
    assert curved[0, -1] == pytest.approx(255, abs=1e-3)
    dark, bright = curved[0, 2] - curved[0, 1], curved[0, 4] - curved[0, 3]
    assert dark == pytest.approx(bright, rel=0.05)
    np.testing.assert_array_equal(apply_tone(image, "linear"), image)


@pytest.mark.parametrize("name", ["ensemble", "gaussian", "memory"])
def test_a_saved_detector_keeps_its_curve(name: str, tmp_path: Path) -> None:
    images = surfaces(np.linspace(0.4, 1.6, 12))
    settings = {"resolution": 64}
    detector = create_detector(name, settings).fit(images)
    state = detector.state()
    assert state.values["tone"] == "log"
    again = create_detector(name, settings).restore(state)
    np.testing.assert_allclose(
        again.raw_maps(images[:1])[0], detector.raw_maps(images[:1])[0], rtol=1e-4, atol=1e-4
    )
    linear = create_detector(name, {**settings, "tone": "linear"}).fit(images)
    assert linear.state().values["tone"] == "linear"
