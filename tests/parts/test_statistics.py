"""Statistics of folders with known faults."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from goodpart.errors import DataError
from goodpart.parts.dataset import load_dataset
from goodpart.parts.render import write_parts
from goodpart.parts.statistics import gather_statistics, suspicious


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Rendered caps, 30 good and 6 of each defect, in the benchmark layout."""
    root = tmp_path / "caps"
    write_parts(root, normal=30, defective=6, size=128, layout="benchmark")
    return root


def read(path):
    return np.asarray(Image.open(path))


def good(folder, number):
    return sorted((folder / "train" / "good").iterdir())[number]


def run(folder):
    return gather_statistics(load_dataset(folder))


def test_a_clean_folder_has_no_findings(folder):
    found = run(folder)
    answer = found.to_dict()
    assert answer["images"] == 48
    assert answer["counts"]["train"] == {"good": 24}
    assert answer["counts"]["test"] == {"Bending": 6, "Reverse": 6, "Stain": 6, "good": 6}
    assert answer["sizes"] == {"128x128": 48}
    assert answer["grey"] == 48 and answer["bits"] == {"8": 48}
    for name in ("unreadable", "exact_duplicates", "near_duplicates", "leaks", "outliers"):
        assert answer[name] == [], name
    assert suspicious(found) == []


def test_the_same_pixels_in_another_format_are_exact_duplicates(folder):
    source = good(folder, 3)
    save(folder / "train" / "good" / "copy.bmp", read(source))
    found = run(folder)
    assert [[f.item.path.name for f in group] for group in found.exact] == [
        ["copy.bmp", source.name]
    ]
    assert found.near == [] and found.leaks() == []


ALTERATIONS = {
    "saved as JPEG": lambda image, rng: np.asarray(Image.open(jpeg(image))),
    "noisy": lambda image, rng: np.clip(image + rng.normal(0, 3, image.shape), 0, 255),
    "dimmed": lambda image, rng: image * 0.8 + 5,
    "halved": lambda image, rng: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=3),
    "turned": lambda image, rng: np.rot90(image),
    "mirrored": lambda image, rng: image[:, ::-1],
    "mirrored and turned": lambda image, rng: np.rot90(image[:, ::-1], 3),
}


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=50)
    return buffer


@pytest.mark.parametrize("how", ALTERATIONS)
def test_altered_copies_are_near_duplicates_and_leaks_across_the_split(folder, how):
    source = good(folder, 5)
    altered = ALTERATIONS[how](read(source), np.random.default_rng(0))
    save(folder / "test" / "good" / "zz.png", np.rint(altered).astype(np.uint8))
    found = run(folder)
    leaks = [(a.item.path.name, b.item.path.name) for a, b, _ in found.leaks()]
    assert [sorted(pair) for pair in leaks] == [sorted([source.name, "zz.png"])]
    assert ("turned" in how) == ("turned" in found.leaks()[0][2])
    assert len(suspicious(found)) == 2


def test_a_copy_under_another_label_is_a_conflict(folder):
    save(folder / "test" / "Stain" / "zz.png", read(good(folder, 5)))
    (pair,) = run(folder).conflicts()
    assert {pair[0].item.label, pair[1].item.label} == {"good", "Stain"}


def test_copies_of_one_source_on_both_sides_are_leaks(folder):
    a, b = good(folder, 0), sorted((folder / "test" / "good").iterdir())[0]
    rows = [f"{path.relative_to(folder)},tray_7" for path in (a, b)]
    (folder / "index.csv").write_text("file,source\n" + "\n".join(rows) + "\n")
    (leak,) = run(folder).leaks()
    assert leak[2] == "both from tray_7"


def test_dark_blurred_and_odd_sized_good_images_stand_out(folder):
    image = read(good(folder, 0)).astype(np.float32)
    train = folder / "train" / "good"
    save(train / "dark.png", (read(good(folder, 1)) * 0.15).astype(np.uint8))
    save(train / "blurred.png", cv2.GaussianBlur(image, (0, 0), 6).astype(np.uint8))
    save(train / "wide.png", np.ascontiguousarray(read(good(folder, 2))[:100]))
    found = {(o.facts.item.path.name, o.measure) for o in run(folder).outliers}
    assert {("dark.png", "brightness"), ("blurred.png", "focus"), ("wide.png", "size")} <= found
    assert {name for name, _ in found} == {"dark.png", "blurred.png", "wide.png"}


def test_unreadable_files_are_named_and_do_not_stop_the_rest(folder):
    (folder / "train" / "good" / "empty.png").write_bytes(b"")
    answer = run(folder).to_dict()
    assert answer["unreadable"][0]["reason"] == "empty file"
    assert "empty.png" in answer["unreadable"][0]["message"]
    assert sum(answer["sizes"].values()) == 48


def test_a_folder_without_a_readable_image_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="none of the images can be read"):
        run(tmp_path)


def test_sixteen_bit_and_colour_are_told(tmp_path):
    rng = np.random.default_rng(0)
    save(tmp_path / "deep.png", rng.integers(0, 65535, (40, 50)).astype(np.uint16))
    save(tmp_path / "color.png", rng.integers(0, 255, (40, 50, 3)).astype(np.uint8))
    answer = run(tmp_path).to_dict()
    assert answer["bits"] == {"8": 1, "16": 1} and answer["grey"] == 1
    assert 100 < answer["brightness"]["good"]["median"] < 150
