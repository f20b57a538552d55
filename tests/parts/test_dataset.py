"""Data folders: the three layouts, and splits that keep every source on one side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodpart.errors import DataError
from goodpart.parts.dataset import folds, load_dataset, unit_hash


def put(folder: Path, *names: str, info: PngInfo | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / name, pnginfo=info)


def test_the_benchmark_layout_finds_masks(tmp_path: Path) -> None:
    put(tmp_path / "train/good", "a.png", "b.png")
    put(tmp_path / "test/good", "c.png")
    put(tmp_path / "test/stain", "d.png")
    put(tmp_path / "ground_truth/stain", "d_mask.png")
    data = load_dataset(tmp_path)
    assert data.layout == "benchmark"
    assert [item.path.name for item in data.train_good()] == ["a.png", "b.png"]
    assert {item.label for item in data.test()} == {"good", "stain"}
    (stain,) = (item for item in data.test() if not item.good)
    assert stain.mask == tmp_path / "ground_truth/stain/d_mask.png"
    assert data.counts() == {("train", "good"): 2, ("test", "good"): 1, ("test", "stain"): 1}


@pytest.mark.parametrize("name", ["Normal", "good", "OK", "양품"])
def test_class_folders_take_any_word_for_good(tmp_path: Path, name: str) -> None:
    put(tmp_path / name, *(f"{i}.png" for i in range(100)))
    put(tmp_path / "Stain", *(f"s{i}.png" for i in range(60)))
    data = load_dataset(tmp_path)
    assert data.layout == "classes"
    assert 70 <= len(data.train_good()) <= 90
    assert 20 <= len(data.train_defects()) <= 40
    assert len(data.items) == 160


def test_all_copies_of_a_source_stay_on_one_side(tmp_path: Path) -> None:
    put(tmp_path / "Normal", *(f"tray{t}_{p}.png" for t in range(20) for p in range(5)))
    rows = [f"Normal/tray{t}_{p}.png,tray{t}" for t in range(20) for p in range(5)]
    (tmp_path / "index.csv").write_text("file,source\n" + "\n".join(rows), encoding="utf-8")
    sides: dict[str, set[str]] = {}
    for item in load_dataset(tmp_path).items:
        sides.setdefault(item.source, set()).add(item.split)
    assert len(sides) == 20
    assert all(len(found) == 1 for found in sides.values())


def test_a_flat_folder_is_training_only(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png", ".hidden.png")
    data = load_dataset(tmp_path)
    assert data.layout == "flat"
    assert len(data.train_good()) == 2
    assert data.test() == []


def test_the_split_does_not_depend_on_the_other_images(tmp_path: Path) -> None:
    put(tmp_path / "Normal", *(f"{i}.png" for i in range(30)))
    before = {item.path.name: item.split for item in load_dataset(tmp_path).items}
    put(tmp_path / "Normal", *(f"new{i}.png" for i in range(30)))
    after = {item.path.name: item.split for item in load_dataset(tmp_path).items}
    assert before.items() <= after.items()


def test_a_generated_image_in_the_test_split_is_an_error(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Source", "goodpart:generated")
    put(tmp_path / "train/good", "a.png")
    put(tmp_path / "test/good", "fake.png", info=info)
    with pytest.raises(DataError, match="generated image in the test split"):
        load_dataset(tmp_path).test()


def test_generated_images_in_class_folders_only_train(tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Source", "goodpart:generated")
    put(tmp_path / "Normal", *(f"{i}.png" for i in range(40)), info=info)
    data = load_dataset(tmp_path)
    assert data.test() == []
    assert len(data.train_good()) == 40


@pytest.mark.parametrize("make", ["missing", "empty", "defects only"])
def test_folders_that_cannot_train_say_what_to_do(tmp_path: Path, make: str) -> None:
    root = tmp_path / "data"
    if make != "missing":
        root.mkdir()
    if make == "defects only":
        put(root / "test/stain", "a.png")
    with pytest.raises(DataError) as caught:
        load_dataset(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_defects_among_the_training_images_are_an_error(tmp_path: Path) -> None:
    put(tmp_path / "train/good", "a.png")
    put(tmp_path / "train/stain", "b.png")
    with pytest.raises(DataError, match="good images only"):
        load_dataset(tmp_path)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=60), st.integers(1, 6))
def test_folds_are_even_and_keep_sources_together(sources: list[str], count: int) -> None:
    fold_of = folds(sources, count)
    by_source: dict[str, set[int]] = {}
    for source, fold in zip(sources, fold_of, strict=True):
        assert 0 <= fold < count
        by_source.setdefault(source, set()).add(fold)
    assert all(len(found) == 1 for found in by_source.values())
    sizes = np.bincount([min(found) for found in by_source.values()], minlength=count)
    assert sizes.max() - sizes.min() <= 1


@given(st.text())
def test_the_hash_lies_in_the_unit_interval(text: str) -> None:
    assert 0 <= unit_hash(text) < 1
