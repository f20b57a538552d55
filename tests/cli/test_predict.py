"""``goodpart predict`` as users call it."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

TRAINING_ONLY = (
    "torch",
    "lightning_fabric",
    "matplotlib",
    "scipy",
    "sklearn",
    "onnx",
    "tensorboard",
)


def test_each_image_gets_a_folder_with_its_results(goodpart, model_folder, caps, tmp_path):
    images = sorted((caps / "Normal").iterdir())[:2]
    done = goodpart("predict", model_folder, *images, "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    for image in images:
        folder = tmp_path / "results" / image.stem
        assert (folder / "result.txt").read_text().startswith("result : Good\nverdict : OK\n")
        for name in ("heatmap.png", "histogram.png", "overlay.png"):
            with Image.open(folder / name) as picture:
                picture.load()
        assert f"OK          {image.stem}  score" in done.stdout


def test_predicting_needs_nothing_of_the_training_extra(goodpart, model_folder, caps, tmp_path):
    done = goodpart(
        "predict",
        model_folder,
        caps / "Bending",
        "--out",
        tmp_path / "results",
        blocked=TRAINING_ONLY,
    )
    assert done.returncode == 0, done.stderr
    verdicts = [path.read_text() for path in (tmp_path / "results").glob("*/result.txt")]
    assert len(verdicts) == 6
    judged = sum("NOT_JUDGED" not in verdict for verdict in verdicts)
    assert judged == len(list((tmp_path / "results").glob("*/heatmap.png"))) >= 3


def test_the_blocker_of_the_test_above_does_block(goodpart, tmp_path):
    from goodpart.cli.app import VERBS

    assert "train" in VERBS
    done = goodpart("--version", blocked=("typer",))
    assert done.returncode != 0 and "No module named 'typer" in done.stderr


def test_json_alone_goes_to_standard_output(goodpart, model_folder, caps):
    done = goodpart("predict", model_folder, caps / "Stain", "--json")
    answers = json.loads(done.stdout)
    assert len(answers) == 6
    assert {"verdict", "score", "limits", "regions", "source"} <= set(answers[0])


def test_a_broken_image_is_not_judged_and_the_rest_is(goodpart, model_folder, caps, tmp_path):
    good = sorted((caps / "Normal").iterdir())[0]
    broken = tmp_path / "깨진 파일.png"
    broken.write_bytes(good.read_bytes()[:300])
    results = tmp_path / "results"
    done = goodpart("predict", model_folder, broken, good, "--out", results)
    assert done.returncode == 0, done.stderr
    text = (results / "깨진 파일" / "result.txt").read_text(encoding="utf-8")
    assert text.startswith("result : Bad\nverdict : NOT_JUDGED\n") and "truncated" in text
    assert not (results / "깨진 파일" / "heatmap.png").exists()
    assert (results / good.stem / "heatmap.png").exists()


def test_images_of_the_same_name_do_not_overwrite_each_other(
    goodpart, model_folder, caps, tmp_path
):
    first, second = sorted((caps / "Normal").iterdir())[:2]
    for folder, image in (("a", first), ("b", second)):
        (tmp_path / folder).mkdir()
        shutil.copy(image, tmp_path / folder / "cap.png")
    done = goodpart(
        "predict", model_folder, tmp_path / "a", tmp_path / "b", "--out", tmp_path / "r"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["cap", "cap_2"]


def test_earlier_results_are_kept_unless_forced(goodpart, model_folder, caps, tmp_path):
    image = sorted((caps / "Normal").iterdir())[0]
    call = ("predict", model_folder, image, "--out", tmp_path / "results")
    assert goodpart(*call).returncode == 0
    result = tmp_path / "results" / image.stem / "result.txt"
    result.write_text("mine")
    refused = goodpart(*call)
    assert refused.returncode == 2 and "--force" in refused.stderr
    assert result.read_text() == "mine"
    assert goodpart(*call, "--force").returncode == 0
    assert result.read_text().startswith("result : ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["missing.png"], "no such file"),
        (["."], "no images"),
        (["{good}", "--cmap", "rainbows"], "Reds"),
    ],
)
def test_mistakes_get_one_line_and_status_2(
    goodpart, model_folder, caps, tmp_path, arguments, expected
):
    good = str(sorted((caps / "Normal").iterdir())[0])
    filled = [argument.format(good=good) for argument in arguments]
    done = goodpart("predict", model_folder, *filled, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_folder_that_is_no_model_is_named(goodpart, caps, tmp_path):
    done = goodpart("predict", tmp_path, caps / "Normal")
    assert done.returncode == 2 and "not a model folder" in done.stderr
