"""Small pictures that look like parts: discs with a ring, a little different each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray


def make_parts(count: int, side: int = 32, *, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    images = []
    for _ in range(count):
        x, y = side / 2 + rng.normal(0, side / 60, 2)
        radius = np.hypot(rows - y, columns - x) / (side / 2)
        image = 60 + 100 * (radius < 0.8) - 60 * (np.abs(radius - 0.4) < rng.uniform(0.08, 0.16))
        images.append(image * rng.uniform(0.9, 1.1) + rng.normal(0, 3, image.shape))
    return np.stack(images).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def make() -> Callable[..., NDArray[np.uint8]]:
    return make_parts


@pytest.fixture
def parts() -> NDArray[np.uint8]:
    return make_parts(12)


@pytest.fixture
def data(tmp_path: Path, parts: NDArray[np.uint8]) -> Path:
    folder = tmp_path / "data" / "train" / "good"
    folder.mkdir(parents=True)
    for index, image in enumerate(parts):
        cv2.imwrite(str(folder / f"{index:02d}.png"), image)
    return tmp_path / "data"


@pytest.fixture
def tiny() -> dict[str, Any]:
    """Settings with which light_gan takes less than a second."""
    return {"width": 0.25, "batch": 4, "steps": 2, "epochs": 3, "pictures": 2}
