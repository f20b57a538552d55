"""The student network: quick on a CPU, features at strides 4 and 8.

Grouped 3×3 convolutions (16 channels a group) followed by 1×1 convolutions, in residual blocks at
strides 4, 8 and 16; on a processor without matrix units they gave the most depth for a given
latency, before plain, depthwise and bottleneck ones. The stride-16 branch sees far and is enlarged
back to stride 8. There is no normalisation layer: the weights start so that residual branches
begin small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from goodpart.detectors.backbones.graph import GraphWriter


@dataclass(frozen=True)
class Shape:
    """Channels and residual blocks at each stride."""

    stem: int = 16
    channels: tuple[int, int, int] = (32, 96, 224)  # at strides 4, 8, 16
    blocks: tuple[int, int, int] = (2, 2, 4)
    group: int = 16
    out4: int = 24
    out8: int = 128


def _conv(
    i: int, o: int, kernel: int, stride: int = 1, groups: int = 1, gain: float = 2.0
) -> nn.Conv2d:
    layer = nn.Conv2d(i, o, kernel, stride, (kernel - stride + 1) // 2, groups=groups)
    fan = i // groups * kernel * kernel
    nn.init.normal_(layer.weight, std=(gain / fan) ** 0.5)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class Block(nn.Module):
    """relu(x + 1×1(relu(grouped 3×3(x))))."""

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.spatial = _conv(channels, channels, 3, groups=channels // group)
        self.mix = _conv(channels, channels, 1, gain=0.3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.mix(functional.relu(self.spatial(x))))


class Student(nn.Module):
    """float (N, 3, H, W) in 0..255 → stride4 (N, 24, H/4, W/4), stride8 (N, 128, H/8, W/8)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        c4, c8, c16 = shape.channels
        n4, n8, n16 = shape.blocks
        self.stem = _conv(3, shape.stem, 3, 2)
        self.down4 = _conv(shape.stem, c4, 3, 2)
        self.blocks4 = nn.Sequential(*[Block(c4, shape.group) for _ in range(n4)])
        self.down8 = _conv(c4, c8, 2, 2)
        self.blocks8 = nn.Sequential(*[Block(c8, shape.group) for _ in range(n8)])
        self.down16 = _conv(c8, c16, 2, 2)
        self.blocks16 = nn.Sequential(*[Block(c16, shape.group) for _ in range(n16)])
        self.head4 = _conv(c4, shape.out4, 1, gain=0.5)
        self.head8 = _conv(c8, shape.out8, 1, gain=0.3)
        self.head16 = _conv(c16, shape.out8, 1, gain=0.3)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        relu = functional.relu
        x = relu(self.down4(relu(self.stem((image - 127.5) * (1 / 127.5)))))
        x4 = self.blocks4(x)
        x8 = self.blocks8(relu(self.down8(x4)))
        x16 = self.blocks16(relu(self.down16(x8)))
        wide = functional.interpolate(self.head16(x16), scale_factor=2, mode="bilinear")
        return self.head4(x4), self.head8(x8) + wide


def to_onnx(
    weights: dict[str, np.ndarray],
    shape: Shape,
    colour: dict[str, tuple[np.ndarray, np.ndarray]],
    metadata: dict[str, str],
) -> bytes:
    """The trained student as ONNX.

    Parameters
    ----------
    weights
        The student's state by name, float32.
    shape
        Its shape.
    colour
        For each output a matrix (channels, channels) and an offset (channels,) applied to the
        student's own output: folded into the last convolutions.
    metadata
        Text written into the file.
    """
    net = GraphWriter(half=True)

    def conv(x: str, name: str, stride: int = 1, pad: int = 0, groups: int = 1) -> str:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return net.conv(x, weight, bias, stride=stride, groups=groups, pads=(pad,) * 4)

    def blocks(x: str, name: str, level: int) -> str:
        for i in range(shape.blocks[level]):
            groups = shape.channels[level] // shape.group
            y = net.relu(conv(x, f"{name}.{i}.spatial", pad=1, groups=groups))
            x = net.relu(net.add(x, conv(y, f"{name}.{i}.mix")))
        return x

    def head(x: str, name: str, output: str, offset: bool) -> str:
        matrix, shift = colour[output]
        weight = np.tensordot(matrix, weights[f"{name}.weight"], 1)
        bias = matrix @ weights[f"{name}.bias"] + (shift if offset else 0)
        return net.conv(x, weight, bias)

    x = net.normalise(net.image, np.full(3, 127.5), np.full(3, 1 / 127.5))
    x = net.relu(conv(x, "stem", 2, 1))
    x4 = blocks(net.relu(conv(x, "down4", 2, 1)), "blocks4", 0)
    x8 = blocks(net.relu(conv(x4, "down8", 2)), "blocks8", 1)
    x16 = blocks(net.relu(conv(x8, "down16", 2)), "blocks16", 2)
    wide = net.enlarge(head(x16, "head16", "stride8", False))
    outputs = {
        "stride4": head(x4, "head4", "stride4", True),
        "stride8": net.add(head(x8, "head8", "stride8", True), wide),
    }
    return net.finish(outputs, metadata)
