"""Fitting: from data to a calibrated model, bad files named and left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodpart.errors import DataError
from goodpart.fitting import fit
from goodpart.gathering import PartSequence, complete_recipe, gather
from goodpart.parts.read import read_image
from goodpart.parts.render import render_part
from goodpart.parts.road import Road
from goodpart.recipe import Recipe, parse_recipe

PLAIN = {"align": {"method": "none"}, "checks": {"likeness": "off"}}


def plain() -> Recipe:
    """Parts stay where they are."""
    return parse_recipe({**PLAIN, "limits": {"overkill": 0.05}})


def write(folder: Path, count: int = 16, size: tuple[int, int] = (48, 64)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.normal(120, 5, size).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")


def test_a_broken_file_is_named_and_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "000.png").write_bytes(b"")
    (tmp_path / "001.png").write_bytes((tmp_path / "002.png").read_bytes()[:-40])
    model = fit(tmp_path, detector="variation")
    assert model.provenance["parts_used"] == 14
    left_out = {Path(item["name"]).name for item in model.provenance["left_out"]}
    assert left_out == {"000.png", "001.png"}


def test_only_broken_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="none of the good images can be read"):
        fit(tmp_path, detector="variation")


def test_train_never_opens_the_test_side(tmp_path: Path) -> None:
    write(tmp_path / "train/good")
    (tmp_path / "test/good").mkdir(parents=True)
    (tmp_path / "test/good/poison.png").write_bytes(b"not an image")
    assert fit(tmp_path, detector="variation").provenance["left_out"] == []


def test_the_size_is_the_median_in_multiples_of_sixteen(tmp_path: Path) -> None:
    write(tmp_path, size=(700, 1400))
    recipe, _ = complete_recipe(Recipe(), gather(tmp_path))
    assert recipe.part.size == (256, 512)
    assert recipe.input.color == "grey"


@pytest.mark.parametrize(("highest", "level"), [(900, 1023), (4000, 4095), (60000, 65535)])
def test_the_white_level_of_deep_images_is_learned(
    tmp_path: Path, highest: int, level: int
) -> None:
    for index in range(3):
        pixels = np.full((32, 32), highest - index, np.uint16)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    recipe, _ = complete_recipe(Recipe(), gather(tmp_path))
    assert recipe.input.white_level == level


def test_deep_images_keep_differences_that_eight_bits_would_lose(tmp_path: Path) -> None:
    images = gather(np.full((4, 32, 32), 1000, np.uint16))
    images.sources[0][8:16, 8:16] = 1003  # type: ignore[index, call-overload]
    recipe, state = complete_recipe(Recipe(), images)
    recipe = recipe.model_copy(
        update={"input": recipe.input.model_copy(update={"white_level": 4095})}
    )
    from goodpart.parts.read import read_image

    pixels = Road(recipe, state).parts(read_image(images.sources[0]))[0].pixels
    assert pixels is not None
    assert pixels.dtype == np.float32
    assert pixels[12, 12] > pixels[0, 0]


def test_the_same_data_and_seed_give_the_same_model(tmp_path: Path) -> None:
    write(tmp_path)
    first, second = (fit(tmp_path, detector="variation") for _ in range(2))
    assert first.limits == second.limits
    assert first.provenance["data_sha256"] == second.provenance["data_sha256"]
    assert first.calibration["good_scores"] == second.calibration["good_scores"]


def test_part_images_are_read_again_when_the_cache_is_full(tmp_path: Path) -> None:
    write(tmp_path, count=6)
    images = gather(tmp_path)
    recipe, state = complete_recipe(Recipe(), images)
    road = Road(recipe, state)
    pairs = [(index, 0) for index in range(6)]
    small = PartSequence(images, road, pairs, cache_bytes=2 * 48 * 64)
    large = PartSequence(images, road, pairs)
    for index in [0, 5, 3, 0, 1, -1]:
        assert np.array_equal(small[index], large[index])
    assert len(small._cache) <= 3


def odd_ones(count: int = 40, odd: int = 2) -> np.ndarray:
    """Good discs, the last few of them with a black bar."""
    rng = np.random.default_rng(3)
    images = rng.normal(120, 4, (count, 48, 48))
    images[-odd:, 20:28, 8:40] = 0
    return images.clip(0, 255).astype(np.uint8)


def test_images_that_stand_out_are_named_and_shown() -> None:
    model = fit(odd_ones(), detector="variation", recipe=plain())
    assert set(model.calibration["outliers"]) == {"array_00038", "array_00039"}
    assert model.provenance["dropped"] == []
    sheet = read_image(model.artifacts["outliers.png"]).pixels
    assert sheet.ndim == 3 and min(sheet.shape[:2]) > 100
    assert fit(odd_ones()[:-2], detector="variation", recipe=plain()).artifacts == {}


def test_what_stands_out_is_dropped_when_asked_and_said() -> None:
    kept = fit(odd_ones(), detector="variation", recipe=plain())
    model = fit(odd_ones(), detector="variation", recipe=plain(), drop_outliers=True)
    assert set(model.provenance["dropped"]) == {"array_00038", "array_00039"}
    assert model.provenance["parts_used"] == 38
    assert not set(model.provenance["dropped"]) & set(model.calibration["good_scores"])
    assert "outliers.png" in model.artifacts, "the sheet shows what was dropped"
    only_good = fit(odd_ones()[:-2], detector="variation", recipe=plain())
    assert model.limits == only_good.limits
    assert model.provenance["data_sha256"] == only_good.provenance["data_sha256"]
    bar = odd_ones()[-1]
    assert model.inspect(bar).score > kept.inspect(bar).score


def test_an_escape_rate_in_the_recipe_takes_the_training_sides_defects(tmp_path: Path) -> None:
    write(tmp_path / "Normal", count=30)
    write(tmp_path / "Bar", count=12)
    for path in (tmp_path / "Bar").iterdir():
        pixels = np.asarray(Image.open(path)).copy()
        pixels[20:26, 10:30] = 20
        Image.fromarray(pixels).save(path)
    recipe = parse_recipe({"limits": {"escape": 0.2, "overkill": 0.1}, **PLAIN})
    model = fit(tmp_path, detector="variation", recipe=recipe)
    assert 2 <= len(model.calibration["defect_scores"]) < 12
    assert model.calibration["escape"] == 0.2
    with pytest.raises(DataError, match="defective"):
        fit(sorted((tmp_path / "Normal").iterdir()), detector="variation", recipe=recipe)


def test_the_detector_is_gaussian_where_parts_are_aligned_and_ensemble_where_not() -> None:
    rng = np.random.default_rng(0)
    caps = np.stack([render_part("cap", rng, size=96).image for _ in range(24)])
    aligned = fit(caps, settings={"resolution": 96})
    assert aligned.recipe.align.method != "none"
    assert aligned.recipe.detector.name == aligned.detector.name == "gaussian"
    still = fit(caps, settings={"resolution": 96}, recipe=plain())
    assert still.recipe.detector.name == still.detector.name == "ensemble"
