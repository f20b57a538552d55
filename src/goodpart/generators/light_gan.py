"""``light_gan``: a light-weight GAN for about a hundred images.

After Liu, Zhu, Song and Elgammal, *Towards faster and stabilized GAN training for high-fidelity
few-shot image synthesis* (2021): skip-layer excitation in the drawing network, a judging network
that also learns to restore its image from its features, the hinge loss, and an exponential moving
average of the weights. What the judging network sees is augmented differentiably (Zhao et al.,
2020). Widths are chosen for two processor cores.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from goodpart.errors import RecipeError
from goodpart.generators.base import LARGEST, Generator, Judged, Shape, Training
from goodpart.training.loop import Precision

# Channels by the number of doublings that are still to come.
WIDTHS = (12, 24, 48, 96, 128, 192, 256)
BASE = 4  # the shortest side that layers start from
PRESETS: dict[str, dict[str, Any]] = {
    # Two cores draw recognisable parts within 15 minutes.
    "cpu": {
        "size": 128,
        "epochs": 60,
        "steps": 50,
        "rate": 5e-4,
        "width": 1.0,
        "max_minutes": 14.0,
    },
    # For a GPU, or a night: four times the channels, the images' own size up to 512.
    "full": {
        "size": None,
        "epochs": 400,
        "steps": 100,
        "rate": 2e-4,
        "width": 4.0,
        "max_minutes": None,
    },
}


class LightGan(Generator):
    """Skip-layer excitation, differentiable augmentation, averaged weights.

    Parameters
    ----------
    preset : "cpu" or "full"
        Gives what is left at ``None``: 128 pixels, 60 epochs of 50 steps and at most 14 minutes;
        or the images' own size up to 512, 400 epochs of 100 steps.
    size : int, optional
        Longer side in pixels: 4 to 7 times a power of two, from 32 on.
    epochs, steps : int, optional
        Steps are of one epoch; a batch is drawn for each.
    batch : int
    rate : float, optional
        Learning rate of Adam.
    width : float, optional
        Channels, as a multiple of what two cores manage.
    average : float
        Decay of the moving average of the weights.
    augment : list of str
        Any of ``"color"``, ``"shift"``, ``"cutout"``.
    anchor : float
        Weight of the likeness of images that are drawn from the real images' codes; 0: none.
    pictures : int
        A grid of 16 fixed noises is drawn every so many epochs.
    max_minutes : float, optional
        Stop after this time.
    precision : "auto", "32-true" or "bf16-mixed"
    """

    name = "light_gan"
    summary = "skip excitation, differentiable augmentation, averaged weights: for few images"
    paper = "Liu et al., FastGAN (2021), https://arxiv.org/abs/2101.04775"
    noise: ClassVar[int] = 64
    loss: ClassVar[Literal["cross-entropy", "hinge"]] = "hinge"

    def __init__(
        self,
        *,
        preset: Literal["cpu", "full"] = "cpu",
        size: int | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int = 8,
        rate: float | None = None,
        width: float | None = None,
        average: float = 0.995,
        augment: list[Literal["color", "shift", "cutout"]] | None = None,
        anchor: float = 10.0,
        pictures: int = 5,
        max_minutes: float | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.preset, self.size, self.epochs, self.steps = preset, size, epochs, steps
        self.batch, self.rate, self.width, self.average = batch, rate, width, average
        self.augment, self.pictures, self.max_minutes = augment, pictures, max_minutes
        self.anchor, self.precision = anchor, precision
        if not 0 <= average < 1:
            raise ValueError("average must lie in 0 <= average < 1")
        if not 0.1 <= self._value("width") <= 8:
            raise ValueError("width must lie between 0.1 and 8")
        _ = self.training

    @property
    def training(self) -> Training:
        """Adam with a first decay of 0.5, as GANs want it."""
        steps, limit = self._value("steps"), self._value("max_minutes")
        return Training(
            epochs=int(self._value("epochs")),
            steps=int(steps),
            batch=self.batch,
            rate=float(self._value("rate")),
            betas=(0.5, 0.999),
            average=self.average,
            augment=("color", "shift", "cutout") if self.augment is None else tuple(self.augment),
            anchor=self.anchor,
            pictures=self.pictures,
            max_minutes=limit,
            precision=self.precision,
        )

    def fitting_shape(self, height: int, width: int, channels: int) -> Shape:
        """See :meth:`Generator.fitting_shape`; the shorter side may be any multiple of the step."""
        most = PRESETS[self.preset]["size"] or 512
        # Larger than the images, a network would learn their interpolation.
        longer = int(self.size or max(8 * BASE, min(most, max(height, width))))
        step = _step(longer)
        if self.size is not None and (not 8 * BASE <= self.size <= LARGEST or self.size % step):
            near = min(LARGEST, max(8 * BASE, round(self.size / step) * step))
            raise RecipeError(
                f"settings.size={self.size}: light_gan makes 4 to 7 times a power of two from "
                f"{8 * BASE} to {LARGEST}, such as {near}"
            )
        scale = longer / max(height, width)
        shorter = max(8 * BASE, round(min(height, width) * scale))
        step = min(step, _step(shorter))
        sides = [max(8 * BASE // step, round(side * scale / step)) for side in (height, width)]
        return Shape(channels, sides[0] * step, sides[1] * step)

    def drawing_network(self, shape: Shape) -> nn.Module:
        """See :meth:`Generator.drawing_network`."""
        return _channels_last(_Drawing(shape, self._value("width")))

    def judging_network(self, shape: Shape) -> nn.Module:
        """See :meth:`Generator.judging_network`; it restores at a quarter of the size."""
        return _channels_last(_Judging(shape, self._value("width")))

    def _value(self, name: str) -> Any:
        own = getattr(self, name)
        return PRESETS[self.preset][name] if own is None else own


def _channels_last(network: nn.Module) -> nn.Module:
    """On two cores a third faster than rows of planes."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _step(side: int) -> int:
    """The power of two that leaves 4 to 7 cells of a side."""
    step = 1
    while side // (2 * step) >= BASE:
        step *= 2
    return step


def _doublings(shape: Shape) -> int:
    """How often both sides can be halved with at least 4 cells left."""
    count = 0
    while min(shape.height, shape.width) >> (count + 1) >= BASE and not (
        shape.height % (2 << count) or shape.width % (2 << count)
    ):
        count += 1
    return count


def _width(left: int, factor: float) -> int:
    return max(4, round(WIDTHS[min(left, len(WIDTHS) - 1)] * factor / 4) * 4)


class _Double(nn.Module):
    """Twice the size: transposed 4 × 4 convolution, gate; noise at every pixel.

    The convolution costs 4/9 of one of 3 × 3 after resizing, which reaches as far.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.ConvTranspose2d(channels, 2 * width, 4, 2, padding=1, bias=False)
        self.strength = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(2 * width)

    def forward(self, features: Tensor) -> Tensor:
        features = self.convolution(features)
        if self.training:
            batch, _, height, width = features.shape
            noise = torch.randn(batch, 1, height, width, device=features.device)
            features = features + self.strength * noise.to(features.dtype)
        return F.glu(self.norm(features), dim=1)


class _Excitation(nn.Module):
    """Channel weights of a large map from a small one (skip-layer excitation)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            nn.Conv2d(channels, width, 4),
            nn.SiLU(),
            nn.Conv2d(width, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        return large * self.layers(small)


class _Drawing(nn.Module):
    """The last doubling only sorts channels into pixels: maps of full size would take half of
    the time."""

    def __init__(self, shape: Shape, factor: float) -> None:
        super().__init__()
        count = _doublings(shape) - 1
        widths = [_width(left, factor) for left in range(count + 1, 0, -1)]
        first = (shape.height >> (count + 1), shape.width >> (count + 1))
        self.start = (2 * widths[0], *first)
        self.dense = nn.Linear(LightGan.noise, math.prod(self.start), bias=False)
        self.norm = nn.BatchNorm2d(self.start[0])
        self.doubles = nn.ModuleList(_Double(a, b) for a, b in pairwise(widths))
        # The map three doublings earlier weighs the channels of the last two maps.
        self.excite = nn.ModuleDict(
            {
                str(place): _Excitation(widths[place - 3], widths[place])
                for place in range(max(3, count - 1), count + 1)
            }
        )
        self.last = nn.Sequential(
            nn.Conv2d(widths[-1], 4 * shape.channels, 5, padding=2), nn.PixelShuffle(2), nn.Tanh()
        )

    def forward(self, noise: Tensor) -> Tensor:
        started = self.dense(noise).unflatten(1, self.start)
        started = started.contiguous(memory_format=torch.channels_last)
        maps = [F.glu(self.norm(started), dim=1)]
        for place, double in enumerate(self.doubles, start=1):
            features = double(maps[-1])
            if str(place) in self.excite:
                features = self.excite[str(place)](maps[place - 3], features)
            maps.append(features)
        images: Tensor = self.last(maps[-1])
        return images


def _bounded(channels: int, width: int, side: int, stride: int = 1, padding: int = 0) -> nn.Module:
    """A convolution with spectral normalisation, batch normalisation, leaky ReLU.

    Without the batch's scale, logits of so many bounded layers stay far below the hinge's margin
    and the judging network learns next to nothing.
    """
    convolution = nn.Conv2d(channels, width, side, stride, padding=padding, bias=False)
    return nn.Sequential(spectral_norm(convolution), nn.BatchNorm2d(width), nn.LeakyReLU(0.2))


class _Halve(nn.Module):
    """Half the size: a strided convolution beside a pooled one."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            _bounded(channels, width, 4, 2, 1), _bounded(width, width, 3, padding=1)
        )
        self.side = nn.Sequential(nn.AvgPool2d(2), _bounded(channels, width, 1))

    def forward(self, features: Tensor) -> Tensor:
        return (self.main(features) + self.side(features)) / 2


class _Judging(nn.Module):
    """Begins at half the size, with four pixels in a cell's channels."""

    def __init__(self, shape: Shape, factor: float) -> None:
        super().__init__()
        # Down to 8 to 15 cells: each logit judges a region of the part.
        count = _doublings(shape) - 1
        widths = [_width(left, factor) for left in range(1, count + 1)]
        self.first = nn.Sequential(
            nn.PixelUnshuffle(2),
            spectral_norm(nn.Conv2d(4 * shape.channels, widths[0], 3, padding=1, bias=False)),
            nn.LeakyReLU(0.2),
        )
        self.features = nn.Sequential(*(_Halve(a, b) for a, b in pairwise(widths)))
        last = widths[-1]
        self.judge = nn.Sequential(_bounded(last, last, 1), spectral_norm(nn.Conv2d(last, 1, 4)))
        # Restored at a quarter of the size: enough to describe the part, and cheap.
        back = widths[:0:-1]
        self.restore = nn.Sequential(
            *(_Double(a, b) for a, b in pairwise(back)),
            nn.Conv2d(back[-1] if back else last, shape.channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, images: Tensor, restore: bool = False) -> Tensor | Judged:
        images = images.contiguous(memory_format=torch.channels_last)
        features = self.features(self.first(images))
        logits: Tensor = self.judge(features)
        return (logits, self.restore(features)) if restore else logits
