"""Backbones from files: ONNX, safetensors, timm; what is wrong with a file is said in one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from goodpart.detectors.backbones import Output, load_backbone
from goodpart.errors import MissingExtraError, ModelError

pytest.importorskip("onnx", reason="writing ONNX files needs the extra train")

from goodpart.detectors.backbones.graph import GraphWriter


def small_network(*, strides: tuple[int, ...] = (4,), kernel: int = 1) -> bytes:
    """An ONNX network with one output per stride, each a strided convolution of the image."""
    net, outputs = GraphWriter(), {}
    for stride in strides:
        weight = np.full((5, 3, kernel, kernel), 0.01, np.float32)
        pads = (0, 0, 0, 0)
        outputs[f"at{stride}"] = net.conv(net.image, weight, np.zeros(5), stride=stride, pads=pads)
    return net.finish(outputs, {"name": "small"})


def test_an_onnx_file_is_probed_for_names_strides_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    path.write_bytes(small_network(strides=(2, 8)))
    backbone = load_backbone(str(path))
    assert backbone.outputs == (Output("at2", 2, 5), Output("at8", 8, 5))
    assert backbone.requires_multiple == 8
    maps = backbone.session(threads=1)(np.full((2, 16, 24), 100, np.uint8))
    assert maps["at8"].shape == (2, 5, 2, 3)
    np.testing.assert_allclose(maps["at2"], 3.0, rtol=2e-3)  # 3 channels x 100 x 0.01


def test_names_in_korean_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "백본.onnx"
    path.write_bytes(small_network())
    assert load_backbone(str(path)).name == "백본.onnx"


def one_line(caught: pytest.ExceptionInfo[ModelError], *words: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_spec_that_is_no_backbone_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        load_backbone("resnet50")
    one_line(caught, "resnet50", "timm:NAME")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_backbone(str(tmp_path / "none.onnx"))
    one_line(caught, "none.onnx")


@pytest.mark.parametrize("name", ["bad.onnx", "bad.safetensors"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(ModelError) as caught:
        load_backbone(str(tmp_path / name))
    one_line(caught)


def test_an_output_that_is_no_feature_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    path.write_bytes(small_network(strides=(3,)))
    with pytest.raises(ModelError) as caught:
        load_backbone(str(path))
    one_line(caught, "at3", "odd.onnx")


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": np.zeros((2, 3, 3, 3), np.float32)}, path)
    with pytest.raises(ModelError) as caught:
        load_backbone(str(path))
    one_line(caught, "other.safetensors", "mobilenetv2_100")


def test_weights_of_a_wrong_shape_are_refused(
    tmp_path: Path, mobilenet_weights: dict[str, np.ndarray]
) -> None:
    from safetensors.numpy import save_file

    mobilenet_weights["blocks.1.0.conv_pw.weight"] = np.zeros((96, 17, 1, 1), np.float32)
    path = tmp_path / "odd.safetensors"
    save_file(mobilenet_weights, path)
    with pytest.raises(ModelError) as caught:
        load_backbone(str(path))
    one_line(caught)


def test_timm_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"goodpart\[timm\]"):
        load_backbone("timm:resnet18")
