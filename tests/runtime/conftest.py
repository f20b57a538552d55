"""A small model, and images that it calls good and bad."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import goodpart
from goodpart.model import Model

SIDE = 64


def part_pixels(seed: int, *, defect: bool = False) -> NDArray[np.uint8]:
    """A disc on a dark ground, (64, 64) uint8; with a bright blot where defective."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE), 60, dtype=np.uint8)
    cv2.circle(pixels, (32, 32), 22, 170, -1)
    if defect:
        cv2.circle(pixels, (int(rng.integers(24, 40)), 32), 6, 255, -1)
    noisy = cv2.GaussianBlur(pixels, (0, 0), 1).astype(np.float32) + rng.normal(0, 2, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encoded(seed: int, *, defect: bool = False, suffix: str = ".png") -> bytes:
    """The same as the bytes of an image file."""
    done, data = cv2.imencode(suffix, part_pixels(seed, defect=defect))
    assert done
    return data.tobytes()


@pytest.fixture(scope="session")
def model() -> Model:
    """A variation model of forty discs."""
    return goodpart.fit(
        np.stack([part_pixels(seed) for seed in range(1000, 1040)]), detector="variation"
    )


@pytest.fixture(scope="session")
def model_folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, saved."""
    return model.save(tmp_path_factory.mktemp("models") / "discs")
