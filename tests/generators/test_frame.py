from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch")

from goodpart.errors import DataError, RecipeError
from goodpart.generators import create_generator
from goodpart.generators.base import Shape
from goodpart.generators.frame import locate_parts, whole_images
from goodpart.generators.images import RealImages, read_real_images

SIDE = 160


def cap(x: float, y: float, radius: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A bright disc with a dark ring somewhere on a grey ground."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(rows - y, columns - x) / radius
    inside = 1 / (1 + np.exp((away - 1) * radius))
    ring = np.exp(-(((away - 0.5) / 0.06) ** 2))
    image = 70 + inside * (130 - 110 * ring) + rng.normal(0, 2, away.shape)
    return image.clip(0, 255).astype(np.uint8)


def write(folder: Path, count: int = 12) -> list[tuple[float, float, float]]:
    rng = np.random.default_rng(0)
    (folder / "train" / "good").mkdir(parents=True)
    placed = []
    for index in range(count):
        x, y = rng.uniform(65, 95, 2)
        radius = rng.uniform(44, 56)
        placed.append((x, y, radius))
        path = folder / "train" / "good" / f"{index:02d}.png"
        cv2.imwrite(str(path), cap(x, y, radius, rng))
    return placed


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[float, float, float]]:
    return write(tmp_path_factory.getbasetemp() / "caps")


@pytest.fixture(scope="module")
def real(
    placed: list[tuple[float, float, float]], tmp_path_factory: pytest.TempPathFactory
) -> RealImages:
    return read_real_images(tmp_path_factory.getbasetemp() / "caps")


def fitting(height: int, width: int, channels: int) -> Shape:
    return create_generator("light_gan", {"size": 64}).fitting_shape(height, width, channels)


def test_parts_that_lie_anywhere_are_brought_together(real: RealImages) -> None:
    parts = locate_parts(real, fitting)
    assert parts.array.shape == (12, 64, 64, 1) and parts.mask is not None
    whole = whole_images(real, fitting(*real.size, 1)).array
    assert parts.array.std(axis=0).mean() < whole.std(axis=0).mean() / 3
    blank = parts.array[:, ~parts.mask]
    assert np.unique(blank).size == 1


def test_a_part_is_put_back_where_the_real_one_lies(real: RealImages) -> None:
    parts = locate_parts(real, fitting)
    for index in range(3):
        back = parts.put_back(parts.pixels[index], index)
        assert back.shape == real.pixels[index].shape and back.dtype == np.uint8
        away = np.abs(back.astype(float) - real.pixels[index])
        assert away.mean() < 4
    # A part of another brightness changes the part alone.
    assert parts.mask is not None
    dark = parts.put_back(np.full((64, 64), 10, np.uint8), 0)
    same = dark == real.pixels[0]
    assert 0.2 < same.mean() < 0.9 and dark[SIDE // 2, SIDE // 2] == 10


def test_a_drawn_image_is_blanked_like_the_real_ones(real: RealImages) -> None:
    parts = locate_parts(real, fitting)
    drawn = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    blanked = parts.blank(drawn)
    assert parts.mask is not None
    assert np.array_equal(blanked[parts.mask], drawn[parts.mask])
    assert np.array_equal(blanked[~parts.mask], parts.pixels[0][~parts.mask])


def test_textures_stay_whole_images(tmp_path: Path) -> None:
    folder = tmp_path / "train" / "good"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(9):
        noise = cv2.GaussianBlur(rng.normal(128, 60, (48, 64)), (0, 0), 1.5)
        cv2.imwrite(str(folder / f"{index}.png"), noise.clip(0, 255).astype(np.uint8))
    parts = locate_parts(read_real_images(tmp_path), lambda h, w, c: Shape(c, 32, 32))
    assert parts.places is None and parts.mask is None
    assert parts.put_back(parts.pixels[0], 0).shape == (48, 64)
    assert parts.blank(parts.pixels[1]) is parts.pixels[1]


def test_an_image_without_the_part_is_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    empty = tmp_path / "train" / "good" / "empty.png"
    noise = np.random.default_rng(1).normal(70, 2, (SIDE, SIDE))
    cv2.imwrite(str(empty), noise.clip(0, 255).astype(np.uint8))
    # One in thirteen: the alignment has to locate nearly all, so it is asked for by many more.
    for index in range(110):
        source = tmp_path / "train" / "good" / f"{index % 12:02d}.png"
        cv2.imwrite(str(source.with_name(f"more{index}.png")), cv2.imread(str(source), 0))
    parts = locate_parts(read_real_images(tmp_path), fitting)
    assert [name for name, _ in parts.real.left_out] == [str(empty)]
    assert len(parts.real.pixels) == len(parts.pixels) == len(parts.real.items) == 122


def test_a_size_that_the_layers_cannot_make_is_an_error_before_the_search(
    real: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goodpart.generators import frame

    monkeypatch.setattr(frame, "learn_road", None)
    with pytest.raises(RecipeError, match=r"settings\.size=99"):
        locate_parts(real, create_generator("light_gan", {"size": 99}).fitting_shape)


def test_too_few_located_parts_are_refused(
    real: RealImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goodpart.generators import frame

    monkeypatch.setattr(frame.Road, "align", lambda self, cut: None)
    monkeypatch.setattr("goodpart.parts.learn_road.Road.align", lambda self, cut: None)
    with pytest.raises(DataError, match=r"located in 0 good images.*align=false"):
        locate_parts(real, fitting)
