"""``goodpart augment`` as users call it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from goodpart.parts.dataset import load_dataset


def read(path):
    return np.asarray(Image.open(path))


def test_each_training_image_is_written_in_eight_variants(goodpart, caps, tmp_path):
    out = tmp_path / "augmented"
    done = goodpart("augment", caps, out)
    assert done.returncode == 0, done.stderr
    train = [item for item in load_dataset(caps).items if item.split == "train"]
    written = load_dataset(out)
    assert len(written.items) == 8 * len(train)
    item = next(item for item in train if item.good)
    original = read(item.path)
    stem = out / "Normal" / item.path.stem
    assert (read(f"{stem}__original.png") == original).all()
    assert (read(f"{stem}__rotated_090.png") == np.rot90(original)).all()
    noise = read(f"{stem}__noisy.png").astype(float) - original
    assert 8 < noise[original > 60].std() < 16  # 0.05 of 255 is 12.75
    assert (out / "contact_sheet.png").is_file()


def test_all_copies_of_one_image_stay_on_its_side_of_the_split(goodpart, caps, tmp_path):
    assert goodpart("augment", caps, tmp_path / "a").returncode == 0
    written = load_dataset(tmp_path / "a")
    assert {item.split for item in written.items} == {"train"}
    sources = {item.source for item in load_dataset(caps).items if item.split == "train"}
    assert {item.source for item in written.items} == sources


def test_copies_of_a_generated_image_are_generated(goodpart, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    (tmp_path / "d" / "Normal").mkdir(parents=True)
    mark = PngInfo()
    mark.add_text("goodpart:generated", "id")
    for index in range(12):
        image = Image.fromarray(np.full((8, 8), index, np.uint8))
        image.save(tmp_path / "d" / "Normal" / f"{index}.png", pnginfo=mark if index else None)
    assert goodpart("augment", tmp_path / "d", tmp_path / "a").returncode == 0
    written = load_dataset(tmp_path / "a").items
    assert {item.source for item in written if not item.generated} <= {"0"}
    assert sum(item.generated for item in written) == 8 * 11
    assert all(item.split == "train" for item in written if item.generated)


def test_the_benchmark_layout_is_kept_and_its_test_side_left_alone(goodpart, tmp_path):
    for side in ("train", "test"):
        (tmp_path / "d" / side / "good").mkdir(parents=True)
        image = np.random.default_rng(0).integers(0, 65535, (8, 12)).astype(np.uint16)
        Image.fromarray(image).save(tmp_path / "d" / side / "good" / "깊은 것.png")
    arguments = ("--noise", "0", "--rotations", "0,90", "--mirror", "--brightness", "0.5")
    done = goodpart("augment", tmp_path / "d", tmp_path / "a", *arguments)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "a" / "index.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {row["variant"] for row in rows}
    assert names == {
        "original",
        "mirrored",
        "rotated_090",
        "rotated_090_mirrored",
        "brightness_050",
    }
    assert {row["file"].rpartition("/")[0] for row in rows} == {"train/good"}
    assert (read(tmp_path / "a" / "train" / "good" / "깊은 것__original.png") == image).all()


def test_force_replaces_what_augment_wrote_and_nothing_else(goodpart, caps, tmp_path):
    out = tmp_path / "a"
    assert goodpart("augment", caps, out).returncode == 0
    (out / "Normal" / "mine.txt").write_text("mine")
    assert goodpart("augment", caps, out).returncode == 2
    assert goodpart("augment", caps, out, "--rotations", "0", "--force").returncode == 0
    assert (out / "Normal" / "mine.txt").read_text() == "mine"
    assert not list(out.glob("*/*rotated*"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rotations", "45"], "multiples of 90"),
        (["--rotations", "left"], "multiples of 90"),
        (["--noise", "12"], "0 to 1"),
    ],
)
def test_mistakes_get_one_line_and_status_2(goodpart, caps, tmp_path, arguments, expected):
    done = goodpart("augment", caps, tmp_path / "a", *arguments)
    assert done.returncode == 2 and expected in done.stderr
    assert not (tmp_path / "a").exists()


def test_other_peoples_folders_are_left_alone(goodpart, caps, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = goodpart("augment", caps, tmp_path, "--force")
    assert done.returncode == 2 and "leaves it alone" in done.stderr
    assert goodpart("augment", caps, caps, "--force").returncode == 2
