"""MobileNetV2 1.0 (Sandler et al. 2018) from a safetensors file with timm's names, as ONNX.

Only the blocks up to stride 16 are built: nothing deeper describes local appearance. Padding is
TensorFlow's (``pad_type='same'``): for even sizes a stride-2 convolution pads below and to the
right only, so feature (i, j) at stride s is centred at pixel (s·j + s − 1, s·i + s − 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from goodpart.detectors.backbones.graph import GraphWriter

OUTPUTS = ("stride4", "stride8", "stride16")
_STAGES = ((1, 2, 2), (2, 3, 2), (3, 4, 2), (4, 3, 1))  # timm block, repeats, first stride
_RESULT_OF = {1: "stride4", 2: "stride8", 4: "stride16"}
_EPSILON = 1e-5
Tensors = Mapping[str, np.ndarray]


def _folded(tensors: Tensors, conv: str, norm: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution with its batch normalisation folded in."""
    weight = tensors[f"{conv}.weight"].astype(np.float32)
    gamma, beta, mean, var = (
        tensors[f"{norm}.{k}"].astype(np.float32)
        for k in ("weight", "bias", "running_mean", "running_var")
    )
    factor = gamma / np.sqrt(var + _EPSILON)
    return weight * factor[:, None, None, None], beta - mean * factor


def _pads(stride: int) -> tuple[int, int, int, int]:
    return (0, 0, 1, 1) if stride == 2 else (1, 1, 1, 1)


def to_onnx(tensors: Tensors, outputs: Sequence[str] = OUTPUTS) -> bytes:
    """The network as ONNX with the outputs asked for.

    Parameters
    ----------
    tensors
        timm's ``mobilenetv2_100`` weights by name.
    outputs
        Some of ``stride4`` (24 channels), ``stride8`` (32) and ``stride16`` (96).

    Returns
    -------
    bytes
        ONNX file; input ``image`` float32 (N, 3, H, W), RGB 0..255, even sizes down to the last
        stride.

    Raises
    ------
    KeyError
        A weight is missing.
    """
    net = GraphWriter()
    x = net.normalise(net.image, np.full(3, 127.5), np.full(3, 1 / 127.5))
    x = net.relu6(net.conv(x, *_folded(tensors, "conv_stem", "bn1"), stride=2, pads=_pads(2)))
    x = net.relu6(net.conv(x, *_folded(tensors, "blocks.0.0.conv_dw", "blocks.0.0.bn1"), groups=32))
    x = net.conv(x, *_folded(tensors, "blocks.0.0.conv_pw", "blocks.0.0.bn2"))
    results: dict[str, str] = {}
    for stage, count, first_stride in _STAGES:
        for index in range(count):
            name = f"blocks.{stage}.{index}"
            stride = first_stride if index == 0 else 1
            y = net.relu6(net.conv(x, *_folded(tensors, f"{name}.conv_pw", f"{name}.bn1")))
            weight, bias = _folded(tensors, f"{name}.conv_dw", f"{name}.bn2")
            y = net.conv(y, weight, bias, stride=stride, groups=len(weight), pads=_pads(stride))
            y = net.conv(net.relu6(y), *_folded(tensors, f"{name}.conv_pwl", f"{name}.bn3"))
            x = y if index == 0 else net.add(x, y)
        if _RESULT_OF.get(stage) in outputs:
            results[_RESULT_OF[stage]] = x
        if len(results) == len(outputs):
            break
    return net.finish(results, {"name": "mobilenetv2_100"})
