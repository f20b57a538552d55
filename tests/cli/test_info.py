"""``goodpart info`` as users call it."""

from __future__ import annotations

import json
import shutil
import tomllib

from goodpart.model import load
from goodpart.model_folder import read_manifest


def test_it_says_what_a_model_is_and_where_it_comes_from(goodpart, model_folder):
    done = goodpart("info", model_folder)
    assert done.returncode == 0, done.stderr
    for words in ("variation", "smoothing=2.0", "mean", "96 x 96", "limits: ok", "trained 20"):
        assert words in done.stdout, words


def test_json_agrees_with_the_manifest(goodpart, model_folder):
    answer = json.loads(goodpart("info", model_folder, "--json").stdout)
    manifest = read_manifest(model_folder)
    assert answer["limits"] == manifest["limits"] and answer["id"] == manifest["id"]
    assert answer["numbers_in_arrays"] >= 2 * 96 * 96
    assert {"name": "mean", "shape": [96, 96]}.items() <= answer["arrays"][0].items()
    assert answer["held_out_scores"]["n"] <= 30


def test_the_recipe_comes_back_as_toml(goodpart, model_folder):
    text = goodpart("info", model_folder, "--recipe").stdout
    assert tomllib.loads(text)["limits"]["overkill"] == load(model_folder).recipe.limits.overkill


def test_networks_are_shown_layer_by_layer(tmp_path):
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    from goodpart.evaluation.describe import network_layers

    weight = numpy_helper.from_array(np.zeros((4, 1, 3, 3), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weight"], ["y"], name="first", pads=[1, 1, 1, 1])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [weight],
    )
    save(helper.make_model(graph), tmp_path / "network.onnx")
    assert network_layers(tmp_path, ["network.onnx", "other.txt"]) == [
        {"name": "first", "kind": "Conv", "output": [4, 8, 8], "parameters": 36}
    ]


def test_a_changed_file_is_found(goodpart, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "m")
    file = tmp_path / "m" / "detector.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    done = goodpart("info", tmp_path / "m")
    assert done.returncode == 2 and "has changed" in done.stderr


def test_it_runs_without_the_training_extra(goodpart, model_folder):
    done = goodpart("info", model_folder, blocked=("torch", "onnx", "matplotlib"))
    assert done.returncode == 0 and "variation" in done.stdout
