"""MobileNetV2 as ONNX agrees with the same network written out in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from goodpart.detectors.backbones import Output, load_backbone

REPEATS = {1: 2, 2: 3, 3: 4, 4: 3}  # timm block → bottlenecks in it

torch = pytest.importorskip("torch", reason="the comparison needs the extra train")
pytest.importorskip("onnx", reason="writing ONNX files needs the extra train")


def in_torch(weights: dict[str, np.ndarray], images: np.ndarray) -> dict[str, np.ndarray]:
    """Features by timm's names, with TensorFlow's padding, straight from the paper's table."""
    functional = torch.nn.functional
    tensors = {k: torch.from_numpy(v.astype(np.float32)) for k, v in weights.items()}

    def conv(x, name, norm, stride=1, active=True):  # type: ignore[no-untyped-def]
        weight = tensors[f"{name}.weight"]
        if weight.shape[2] == 3:
            x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        groups = len(weight) if weight.shape[1] == 1 and x.shape[1] > 1 else 1
        x = functional.conv2d(x, weight, None, stride, groups=groups)
        mean, var, gamma, beta = (
            tensors[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")
        )
        x = functional.batch_norm(x, mean, var, gamma, beta, eps=1e-5)
        return functional.relu6(x) if active else x

    x = torch.from_numpy(images.astype(np.float32).transpose(0, 3, 1, 2)) / 255
    x = conv((x - 0.5) / 0.5, "conv_stem", "bn1", 2)
    x = conv(x, "blocks.0.0.conv_dw", "blocks.0.0.bn1")
    x = conv(x, "blocks.0.0.conv_pw", "blocks.0.0.bn2", active=False)
    found = {}
    for stage, repeats in REPEATS.items():
        for index in range(repeats):
            name = f"blocks.{stage}.{index}"
            stride = 2 if index == 0 and stage < 4 else 1
            y = conv(x, f"{name}.conv_pw", f"{name}.bn1")
            y = conv(y, f"{name}.conv_dw", f"{name}.bn2", stride)
            y = conv(y, f"{name}.conv_pwl", f"{name}.bn3", active=False)
            x = y if index == 0 else x + y
        found[stage] = x.numpy()
    return {"stride4": found[1], "stride8": found[2], "stride16": found[4]}


def test_onnx_and_torch_agree(tmp_path: Path, mobilenet_weights: dict[str, np.ndarray]) -> None:
    weights = mobilenet_weights
    save_file(weights, tmp_path / "mobilenetv2_100.safetensors")
    backbone = load_backbone(str(tmp_path / "mobilenetv2_100.safetensors"))
    assert backbone.outputs == (
        Output("stride4", 4, 24),
        Output("stride8", 8, 32),
        Output("stride16", 16, 96),
    )
    images = np.random.default_rng(1).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    expected = in_torch(weights, images)
    for name, value in backbone.session(threads=1)(images).items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(value, expected[name], atol=1e-3 * scale)
