"""Evaluating a small model on a small folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from goodpart.decision import Inspection, Limits, Verdict
from goodpart.errors import DataError
from goodpart.evaluation.evaluate import evaluate, map_on_source, require_test_items, source_size
from goodpart.parts.dataset import load_dataset


def run(model, folder):
    return evaluate(model, require_test_items(load_dataset(folder)))


def test_a_model_that_separates_gets_full_figures(model, data):
    answer = run(model, data).to_dict()
    assert answer["image_auroc"] == 1.0
    assert answer["image_ap"] == pytest.approx(1.0)
    assert answer["pixel_auroc"] > 0.95
    assert answer["aupro"] > 0.8
    assert answer["escape"]["count"] == 0 and answer["escape"]["n"] == 6
    assert answer["images"] == answer["parts"] == 14
    assert answer["by_class"]["spot"]["ng"] == 6
    assert 0 < answer["seconds_per_image"]["p50"] <= answer["seconds_per_image"]["p95"]
    json.dumps(answer, allow_nan=False)


def test_every_field_that_the_design_names_is_there(model, data):
    answer = run(model, data).to_dict()
    for field in [
        "detector",
        "images",
        "image_auroc",
        "image_ap",
        "pixel_auroc",
        "aupro",
        "limits",
        "overkill",
        "escape",
        "check",
        "not_judged",
        "by_class",
        "seconds_per_image",
    ]:
        assert field in answer
    assert set(answer["overkill"]) >= {"rate", "count", "n", "upper95"}
    assert set(answer["check"]) == {"good", "defective"}


def test_without_masks_and_defects_the_figures_are_null(model, data, tmp_path):
    shutil.copytree(data / "test" / "good", tmp_path / "test" / "good")
    answer = run(model, tmp_path).to_dict()
    assert answer["image_auroc"] is None and answer["image_ap"] is None
    assert answer["pixel_auroc"] is None and answer["aupro"] is None
    assert answer["escape"]["rate"] is None


def test_a_broken_file_is_counted_and_the_run_goes_on(model, data, tmp_path):
    shutil.copytree(data, tmp_path / "discs")
    broken = tmp_path / "discs" / "test" / "good" / "000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    (tmp_path / "discs" / "test" / "spot" / "empty.png").write_bytes(b"")
    answer = run(model, tmp_path / "discs").to_dict()
    assert answer["images"] == 15
    assert answer["not_judged"]["good"]["count"] == 1
    assert answer["not_judged"]["defective"]["count"] == 1
    assert answer["not_judged"]["by_reason"] == {"empty file": 1, "truncated": 1}
    assert answer["overkill"]["n"] == 7 and answer["image_auroc"] == 1.0


def test_a_broken_mask_is_named_and_its_image_left_out_of_the_pixel_figures(model, data, tmp_path):
    shutil.copytree(data, tmp_path / "discs")
    (tmp_path / "discs" / "ground_truth" / "spot" / "000_mask.png").write_bytes(b"no image")
    result = run(model, tmp_path / "discs")
    assert result.without_mask == 1
    assert result.pixels.images == 13
    assert "000_mask.png" in result.problems[0]


def test_a_generated_image_on_the_test_side_is_an_error(model, data, tmp_path):
    shutil.copytree(data, tmp_path / "discs")
    info = PngImagePlugin.PngInfo()
    info.add_text("Source", "goodpart:generated")
    path = tmp_path / "discs" / "test" / "good" / "drawn.png"
    Image.new("L", (64, 64)).save(path, pnginfo=info)
    with pytest.raises(DataError, match="generated"):
        run(model, tmp_path / "discs")


def test_a_folder_without_a_test_side_is_an_error(data):
    with pytest.raises(DataError, match="no test images"):
        require_test_items(load_dataset(data / "train" / "good"))


def test_progress_reaches_the_end(model, data):
    seen = []
    items = require_test_items(load_dataset(data))
    evaluate(model, items, progress=lambda *step: seen.append(step))
    assert seen[0] == ("evaluating", 0, 14) and seen[-1] == ("evaluating", 14, 14)


def test_sizes_are_those_of_the_upright_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert source_size(tmp_path / "turned.jpg") == (40, 30)


def inspection(raw_map, transform, mask=None, size=(20, 20)):
    return Inspection(
        Verdict.OK,
        source="array",
        part="array",
        score=float(raw_map.max()),
        limits=Limits(9, 9),
        image=np.zeros(size, np.uint8),
        raw_map=raw_map,
        transform=transform,
        mask=mask,
    )


def test_maps_of_moved_parts_come_back_to_their_place_in_the_image():
    raw_map = np.zeros((20, 20), np.float32)
    raw_map[5, 7] = 4.0
    shift = np.array([[1, 0, 30], [0, 1, 12], [0, 0, 1]], float)
    whole = map_on_source([inspection(raw_map, shift)], (50, 60), (50, 60))
    assert np.unravel_index(whole.argmax(), whole.shape) == (17, 37)
    assert np.isneginf(whole[0, 0]) and np.isfinite(whole[12, 30])


def test_several_parts_share_one_map_and_ignored_pixels_do_not_count():
    raw_map = np.ones((20, 20), np.float32)
    mask = np.ones((20, 20), bool)
    mask[:10] = False
    left, right = np.eye(3), np.array([[1, 0, 40], [0, 1, 0], [0, 0, 1]], float)
    parts = [inspection(raw_map, left), inspection(raw_map, right, mask)]
    whole = map_on_source(parts, (20, 60), (20, 60))
    assert np.isfinite(whole[:, :20]).all()
    assert np.isneginf(whole[:10, 40:]).all() and np.isfinite(whole[10:, 40:]).all()
    assert np.isneginf(whole[:, 20:40]).all()
