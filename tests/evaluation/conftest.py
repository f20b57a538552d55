"""A small model and its data, shared by the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest

from goodpart import fit
from goodpart.parts.read import read_image
from goodpart.recipe import parse_recipe


def draw(rng, *, spot=False):
    """A grey disc of 64 x 64 pixels; a defective one has a dark spot."""
    yy, xx = np.mgrid[:64, :64]
    image = np.where(np.hypot(xx - 32, yy - 32) < 26, 150.0, 30.0) + rng.normal(0, 3, (64, 64))
    if spot:
        image[26:34, 36:44] -= 90
    return np.clip(image, 0, 255).astype(np.uint8)


def save(path, pixels):
    """Write a PNG, folders and all."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A benchmark folder: 24 + 8 good discs, 6 with a spot, with ground truth."""
    root = tmp_path_factory.mktemp("discs")
    rng = np.random.default_rng(5)
    for number in range(24):
        save(root / "train" / "good" / f"{number:03d}.png", draw(rng))
    for number in range(8):
        save(root / "test" / "good" / f"{number:03d}.png", draw(rng))
    mask = np.zeros((64, 64), np.uint8)
    mask[26:34, 36:44] = 255
    for number in range(6):
        save(root / "test" / "spot" / f"{number:03d}.png", draw(rng, spot=True))
        save(root / "ground_truth" / "spot" / f"{number:03d}_mask.png", mask)
    return root


@pytest.fixture(scope="session")
def model(data):
    """A variation model of the discs."""
    paths = sorted((data / "train" / "good").iterdir())
    return fit(
        np.stack([read_image(path).pixels for path in paths]),
        detector="variation",
        recipe=parse_recipe({"limits": {"overkill": 0.05}, "align": {"method": "none"}}),
    )
