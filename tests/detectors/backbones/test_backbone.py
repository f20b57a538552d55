"""The shipped backbone: shapes, determinism, independence of batch, size and threads."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from goodpart.detectors.backbones import Backbone, Extractor, Output, load_backbone
from goodpart.errors import ModelError


@pytest.fixture(scope="module")
def shipped() -> Backbone:
    return load_backbone("goodpart")


@pytest.fixture(scope="module")
def extractor(shipped: Backbone) -> Extractor:
    return shipped.session(threads=1)


def textures(n: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (n, height, width), dtype=np.uint8)


def test_it_says_what_it_gives(shipped: Backbone) -> None:
    assert shipped.outputs == (Output("stride4", 4, 24), Output("stride8", 8, 128))
    assert shipped.requires_multiple == 16
    assert shipped.name.startswith("goodpart-")


def test_it_stays_under_five_megabytes(shipped: Backbone) -> None:
    assert len(shipped.model_bytes) < 5_000_000


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 80), (16, 32)])
def test_any_size_in_multiples_of_sixteen_is_taken(
    extractor: Extractor, height: int, width: int
) -> None:
    maps = extractor(textures(1, height, width))
    assert maps["stride4"].shape == (1, 24, height // 4, width // 4)
    assert maps["stride8"].shape == (1, 128, height // 8, width // 8)
    assert all(m.dtype == np.float32 and np.isfinite(m).all() for m in maps.values())


def test_grey_is_three_equal_channels(extractor: Extractor) -> None:
    grey = textures(1, 64, 64)
    colour = np.repeat(grey[..., None], 3, axis=3)
    for a, b in zip(extractor(grey).values(), extractor(colour).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_colour_is_seen(extractor: Extractor) -> None:
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[..., 0] = 200
    swapped = np.ascontiguousarray(image[..., ::-1])
    assert np.abs(extractor(image)["stride8"] - extractor(swapped)["stride8"]).max() > 0.05


def test_the_same_image_gives_the_same_features(shipped: Backbone, extractor: Extractor) -> None:
    images = textures(1, 64, 64)
    again = shipped.session(threads=1)(images)
    for name, value in extractor(images).items():
        np.testing.assert_array_equal(value, again[name])


def test_features_do_not_depend_on_batch_or_threads(
    shipped: Backbone, extractor: Extractor
) -> None:
    images = textures(3, 64, 64)
    together = shipped.session(threads=2)(images)
    for i in range(3):
        for name, value in extractor(images[i : i + 1]).items():
            np.testing.assert_allclose(value[0], together[name][i], rtol=1e-3, atol=1e-4)


def test_a_shifted_image_gives_shifted_features(extractor: Extractor) -> None:
    wide = textures(1, 288, 304)
    left, right = extractor(wide[:, :, :288]), extractor(wide[:, :, 16:])
    for name, cells in (("stride4", 4), ("stride8", 2)):
        a, b = left[name][..., cells:], right[name][..., :-cells]
        middle = (..., slice(a.shape[2] // 2 - 1, a.shape[2] // 2 + 1), a.shape[3] // 2)
        np.testing.assert_allclose(a[middle], b[middle], rtol=1e-2, atol=1e-2)


def test_features_lie_where_the_image_changes(extractor: Extractor) -> None:
    image = np.full((1, 128, 128), 120, np.uint8)
    changed = image.copy()
    changed[:, 60:68, 36:44] = 220
    before, after = extractor(image)["stride4"], extractor(changed)["stride4"]
    energy = np.square(after - before).sum(1)[0]
    rows, columns = np.mgrid[: energy.shape[0], : energy.shape[1]]
    centre = [(energy * axis).sum() / energy.sum() for axis in (rows, columns)]
    assert centre == pytest.approx([15.5, 9.5], abs=0.7)  # pixels 64 and 40 at stride 4


@pytest.mark.parametrize("shape", [(1, 60, 64), (1, 64, 0), (64, 64), (1, 64, 64, 4)])
def test_other_shapes_are_refused_in_one_line(extractor: Extractor, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        extractor(np.zeros(shape, np.uint8))
    assert "\n" not in str(caught.value)


def test_the_card_tells_licence_input_and_training() -> None:
    folder = resources.files("goodpart.detectors.backbones") / "weights"
    card = json.loads((folder / "goodpart.json").read_text())
    assert card["licence"] == "Apache-2.0"
    assert "0..255" in card["input"]
    assert 0 < card["training"]["stride8"] < 1


def test_extracting_needs_neither_torch_nor_onnx() -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "import numpy as np\n"
        "from goodpart.detectors.backbones import load_backbone\n"
        "print(sorted(load_backbone('goodpart').session(1)(np.zeros((1, 32, 32), np.uint8))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['stride4', 'stride8']", done.stderr
