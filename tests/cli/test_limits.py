"""``goodpart limits`` and ``goodpart learn`` as users call them."""

from __future__ import annotations

import json
import shutil

import pytest


@pytest.fixture
def model(model_folder, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(model_folder, tmp_path / "caps")


def test_limits_shows_what_is_promised_and_changes_nothing(goodpart, model):
    before = (model / "manifest.json").read_bytes()
    done = goodpart("limits", model)
    assert done.returncode == 0, done.stderr
    assert "one limit" in done.stdout and "Clopper-Pearson" in done.stdout
    assert "smallest overkill that 30 images can promise: 3.23%" in " ".join(done.stdout.split())
    assert "cross-fitted: each good image was scored by a model that did not see" in done.stdout
    assert (model / "manifest.json").read_bytes() == before


def test_limits_that_count_parts_say_parts(goodpart, model):
    """Two images of the model are made captures of one part, held out together."""
    path = model / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    names = list(manifest["calibration"]["good_scores"])
    manifest["calibration"] |= {"captures": "together", "same_part": [names[:2]]}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    done = goodpart("limits", model, "--overkill", "10%")
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "29 different good parts" in shown and "good parts judged NG" in shown
    assert "29 parts can promise" in shown


@pytest.mark.parametrize("rate", ["10%", "0.1", "10 %"])
def test_an_overkill_rate_is_taken_as_people_write_it(goodpart, model, rate):
    done = goodpart("limits", model, "--overkill", rate, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["overkill_asked"] == pytest.approx(0.1)
    assert answer["history"][-1]["why"] == f"limits --overkill {rate}"
    assert answer["costs"]["overkill"]["n"] == answer["images"]


def test_an_escape_rate_opens_a_check_band_with_bounds(goodpart, model, caps):
    defects = caps / "Stain"
    done = goodpart("limits", model, "--escape", "20%", "--defects", defects, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["limits"]["ok"] <= answer["limits"]["ng"]
    assert answer["escape_asked"] == 0.2 and answer["defective_images"] == 6
    assert answer["costs"]["escape"]["rate"] <= 0.2
    assert len(answer["costs"]["escape"]["interval95"]) == 2
    back = goodpart("limits", model, "--as-trained", "--json")
    assert json.loads(back.stdout)["limits"] == answer["before"]


def test_limits_by_hand_promise_nothing(goodpart, model):
    answer = json.loads(goodpart("limits", model, "--ok", "1.5", "--ng", "2.5", "--json").stdout)
    assert answer["limits"] == {"ok": 1.5, "ng": 2.5} and not answer["promised"]
    answer = json.loads(goodpart("limits", model, "--ng", "3", "--json").stdout)
    assert answer["limits"] == {"ok": 3.0, "ng": 3.0}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--overkill", "lots"], "0.5%"),
        (["--overkill", "80%"], "overkill"),
        (["--escape", "2%"], "--defects"),
        (["--ok", "3", "--ng", "1"], "below"),
        (["--ok", "3", "--overkill", "1%"], "one at a time"),
        (["--escape", "2%", "--defects", "nowhere"], "no such folder"),
    ],
)
def test_mistakes_get_one_line_and_leave_the_limits(goodpart, model, arguments, expected):
    before = (model / "manifest.json").read_bytes()
    done = goodpart("limits", model, *arguments)
    assert done.returncode == 2
    assert expected in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert (model / "manifest.json").read_bytes() == before


def test_learn_says_what_changes_and_writes_the_model(goodpart, model, caps, tmp_path):
    images = sorted((caps / "Stain").iterdir())[:2]
    done = goodpart("learn", model, *images, "--out", tmp_path / "more", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["learned"] == len(answer["given"]) == 2
    assert {"before", "after", "score_before", "score_after"} < set(answer["given"][0])
    shown = goodpart("limits", tmp_path / "more")
    assert "learn 2 images" in shown.stdout
    again = goodpart("learn", tmp_path / "more", images[0])
    assert again.returncode == 2 and "learned before" in again.stderr
    taken = goodpart("learn", model, images[0], "--out", tmp_path / "more")
    assert taken.returncode == 2 and "--force" in taken.stderr


def test_export_writes_a_network_and_an_example(goodpart, model, tmp_path):
    done = goodpart("export", model, "--format", "onnx", "--out", tmp_path / "caps.onnx")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "caps.onnx").is_file() and (tmp_path / "caps_example.py").is_file()
    assert "onnx" in goodpart("export", model, "--format", "trt", "--out", tmp_path / "x").stderr
    refused = goodpart("export", model, "--out", tmp_path / "caps.onnx")
    assert refused.returncode == 2 and "--force" in refused.stderr


def test_an_engine_that_does_not_exist_is_named(goodpart, model, caps):
    done = goodpart("predict", model, caps / "Normal", "--engine", "tensorrt")
    assert done.returncode == 2 and "onnxruntime, openvino" in done.stderr
