"""The autoencoder's networks in torch, their layers as a list, and their export to ONNX.

Only training imports this module: inspecting runs the exported network.
"""

from __future__ import annotations

import io
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from goodpart.detectors.autoencoder_presets import BLOCK, COMPARED
from goodpart.errors import ModelError

Layer = dict[str, Any]


def _convolutions(*channels: int) -> nn.Sequential:
    """3×3 convolutions through these channels, each followed by ELU."""
    steps: list[nn.Module] = []
    for before, after in pairwise(channels):
        steps += [nn.Conv2d(before, after, 3, padding=1), nn.ELU()]
    return nn.Sequential(*steps)


class SeedAutoencoder(nn.Module):
    """The small ELU autoencoder that goodpart continues: 19,693 parameters, latent 16×20×20.

    Parameters
    ----------
    variational : bool
        Adds heads for mean and log-variance of the latent (Kingma and Welling, *Auto-encoding
        variational Bayes*, 2014); outside training the mean is decoded.

    Notes
    -----
    Input and output are float32 (N, 1, H, W) in 0..1, H and W multiples of 24.
    """

    def __init__(self, *, variational: bool = False) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            _convolutions(1, 4, 4),
            nn.AvgPool2d(2),
            _convolutions(4, 8, 8),
            nn.AvgPool2d(2),
            _convolutions(8, 8, 16),
            nn.MaxPool2d(2),
            _convolutions(16, 16, 16),
            nn.MaxPool2d(3),
        )
        self.mean = nn.Conv2d(16, 16, 1) if variational else None
        self.log_variance = nn.Conv2d(16, 16, 1) if variational else None
        self.decoder = nn.Sequential(
            _convolutions(16, 16),
            _convolutions(16, 16, 16),
            nn.Upsample(scale_factor=3),
            _convolutions(16, 16, 8),
            nn.Upsample(scale_factor=2),
            _convolutions(8, 8, 8),
            nn.Upsample(scale_factor=2),
            _convolutions(8, 4, 4),
            nn.Upsample(scale_factor=2),
            _convolutions(4, 4, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction, not clamped. Sets :attr:`divergence` in the variational network.

        Attributes
        ----------
        divergence : Tensor
            KL divergence from the standard normal distribution, per latent number.
        """
        latent = self.encoder(x)
        if self.mean is not None and self.log_variance is not None:
            mean, log_variance = self.mean(latent), self.log_variance(latent).clamp(-10, 10)
            self.divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
            latent = mean
            if self.training:
                latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        return self.decoder(latent)


def load_seed_weights(network: SeedAutoencoder, folder: str | Path) -> None:
    """Take the published weights ``encoder_epoch_30.pth`` and ``decoder_epoch_30.pth``.

    Parameters
    ----------
    network : SeedAutoencoder
    folder : path
        Holds the two files. They are read with ``weights_only=True``: no code runs.

    Raises
    ------
    ModelError
        A file is missing, is not one of plain tensors, or its shapes do not fit.
    """
    for part, name in ((network.encoder, "encoder"), (network.decoder, "decoder")):
        path = Path(folder) / f"{name}_epoch_30.pth"
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            # The old modules are numbered otherwise, but hold the same layers in the same order.
            own = part.state_dict()
            tensors = [saved[key] for key in saved]
            part.load_state_dict(OrderedDict(zip(own, tensors, strict=True)))
        except FileNotFoundError:
            raise ModelError(
                f"{path}: no such file; give the folder with both .pth files"
            ) from None
        except Exception as error:  # torch raises many kinds for files that are not its own
            reason = str(error).strip().splitlines()[0]
            raise ModelError(f"{path}: not weights of this network: {reason}") from None


class _Residual(nn.Module):
    """Two 3×3 convolutions beside the identity; it starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.body = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Restorer(nn.Module):
    """Restores a corrupted part through a narrow waist.

    Works on 4×4 pixel blocks (space to depth), which costs a sixteenth of full resolution, down
    to a sixteenth of that grid, with skip connections where asked for.

    Parameters
    ----------
    channels : int
        Of the image: 1 or 3.
    widths : sequence of int
        Channels on each level, multiples of 8; each level halves the grid.
    skips : sequence of int
        Levels whose encoder features reach the decoder directly.

    Notes
    -----
    Input float32 (N, C, H, W), each image with zero mean and unit spread; H and W are multiples
    of ``4 * 2 ** (len(widths) - 1)``. Output likewise.
    """

    def __init__(self, channels: int, widths: Sequence[int], skips: Sequence[int]) -> None:
        super().__init__()
        cells = BLOCK**2
        self.stem = nn.Conv2d(channels * cells, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList([_Residual(width) for width in widths])
        self.down = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths)])
        self.decoder = nn.ModuleList([_Residual(width) for width in widths])
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.skip = nn.ModuleDict(
            {str(level): nn.Conv2d(widths[level], widths[level], 1) for level in skips}
        )
        self.head = nn.Conv2d(widths[0], channels * cells, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.decode(self.encode(x, len(self.encoder)))

    def encode(self, x: Tensor, count: int) -> list[Tensor]:
        """The encoder's features on the first ``count`` levels."""
        x = self.stem(functional.pixel_unshuffle(x, BLOCK))
        features = [self.encoder[0](x)]
        for level in range(1, count):
            features.append(self.encoder[level](self.down[level - 1](features[-1])))
        return features

    def decode(self, features: list[Tensor]) -> Tensor:
        """The restored part from the features on all levels."""
        x = self.decoder[-1](features[-1])
        for level in reversed(range(len(self.up))):
            x = functional.interpolate(self.up[level](x), scale_factor=2.0, mode="nearest")
            if str(level) in self.skip:
                x = x + self.skip[str(level)](features[level])
            x = self.decoder[level](x)
        return functional.pixel_shuffle(self.head(x), BLOCK)


class Comparison(nn.Module):
    """A trained :class:`Restorer` as it is used: restores, and compares what its encoder sees.

    Grey levels of the two images differ at every sharp edge. The encoder's features, which had to
    tell content from corruption, differ less there and more at defects.

    Parameters
    ----------
    network : Restorer

    Notes
    -----
    Input as the network's. Two outputs: the restored part, and absolute differences of features
    (N, ``compared_channels``, H / 4, W / 4), averaged over 3×3 cells.
    """

    def __init__(self, network: Restorer) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        features = self.network.encode(x, len(self.network.encoder))
        restored = self.network.decode(features)
        expected = self.network.encode(restored, COMPARED)
        apart = [(a - b).abs() for a, b in zip(features, expected, strict=False)]
        grid = apart[0].shape[2:]
        apart = [
            functional.interpolate(one, size=grid, mode="bilinear") if level else one
            for level, one in enumerate(apart)
        ]
        cells = torch.cat(apart, dim=1)
        return restored, functional.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def layers(network: nn.Module, shape: tuple[int, int, int]) -> list[Layer]:
    """The layers in the order they run, for ``info``.

    Parameters
    ----------
    network : Module
    shape : (int, int, int)
        Channels, height, width of the input.

    Returns
    -------
    list of dict
        ``name``, ``kind``, ``output`` (channels, height, width) and ``parameters``.
    """
    rows: list[Layer] = []

    def note(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Tensor) -> None:
            count = sum(p.numel() for p in module.parameters())
            rows.append(
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "output": list(output.shape[1:]),
                    "parameters": count,
                }
            )

        return hook

    leaves = [(n, m) for n, m in network.named_modules() if not list(m.children())]
    hooks = [module.register_forward_hook(note(name)) for name, module in leaves]
    try:
        with torch.no_grad():
            network(torch.zeros(1, *shape))
    finally:
        for hook in hooks:
            hook.remove()
    return rows


def export_onnx(network: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """The network as an ONNX file (opset 17) for any batch size.

    Parameters
    ----------
    network : Module
        A :class:`Restorer` is written as its :class:`Comparison`.
    shape : (int, int, int)
        Channels, height, width of the input.
    """
    buffer = io.BytesIO()
    outputs = ["output"]
    if isinstance(network, Restorer):
        network, outputs = Comparison(network), ["output", "differences"]
    network = network.eval()
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, not gone; it needs no further package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, *shape),),
            buffer,  # type: ignore[arg-type]
            input_names=["image"],
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in ["image", *outputs]},
            opset_version=17,
            dynamo=False,
        )
    return buffer.getvalue()
