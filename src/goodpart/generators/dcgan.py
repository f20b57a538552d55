"""``dcgan``: the generator of the line that goodpart continues, in its own shape.

Noise of 100 → dense (H/16) × (W/16) × 256 → four transposed convolutions; after Radford, Metz and
Chintala, *Unsupervised representation learning with deep convolutional generative adversarial
networks* (2016). At 480 × 480 the dense layer gives 30 × 30 × 256.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from goodpart.errors import RecipeError
from goodpart.generators.base import LARGEST, Generator, Judged, Shape, Training
from goodpart.training.loop import Precision

STEP = 16  # four layers of stride 2
SLOPE = 0.3  # of the leaky ReLU, as in the original


class Dcgan(Generator):
    """Deep convolutional GAN with binary cross-entropy.

    Parameters
    ----------
    size : int, optional
        Longer side in pixels, a multiple of 16; by default the images' own, rounded to one, at
        most 480.
    epochs : int
    batch : int
    rate : float
        Learning rate of Adam.
    pictures : int
        A grid of 16 fixed noises is drawn every so many epochs.
    max_minutes : float, optional
        Stop after this time.
    precision : "auto", "32-true" or "bf16-mixed"
    """

    name = "dcgan"
    summary = "transposed convolutions and binary cross-entropy: the original's shape"
    paper = "Radford et al. (2016), https://arxiv.org/abs/1511.06434"
    noise: ClassVar[int] = 100
    loss: ClassVar[Literal["cross-entropy", "hinge"]] = "cross-entropy"

    def __init__(
        self,
        *,
        size: int | None = None,
        epochs: int = 300,
        batch: int = 32,
        rate: float = 1e-4,
        pictures: int = 5,
        max_minutes: float | None = None,
        precision: Precision = "auto",
    ) -> None:
        self.size, self.epochs, self.batch, self.rate = size, epochs, batch, rate
        self.pictures, self.max_minutes, self.precision = pictures, max_minutes, precision
        _ = self.training  # wrong numbers are an error now, not after an hour

    @property
    def training(self) -> Training:
        """Adam with its usual decay rates, once through the images in an epoch."""
        return Training(
            epochs=self.epochs,
            batch=self.batch,
            rate=self.rate,
            betas=(0.9, 0.999),
            pictures=self.pictures,
            max_minutes=self.max_minutes,
            precision=self.precision,
        )

    def fitting_shape(self, height: int, width: int, channels: int) -> Shape:
        """See :meth:`Generator.fitting_shape`; both sides are multiples of 16."""
        if self.size is not None and (not 2 * STEP <= self.size <= LARGEST or self.size % STEP):
            near = min(LARGEST, max(2, round(self.size / STEP)) * STEP)
            raise RecipeError(
                f"settings.size={self.size}: dcgan makes multiples of {STEP} from {2 * STEP} to "
                f"{LARGEST}, such as {near}"
            )
        longer = self.size or min(480, max(height, width))
        sides = [max(2, round(s * longer / max(height, width) / STEP)) for s in (height, width)]
        return Shape(channels, sides[0] * STEP, sides[1] * STEP)

    def drawing_network(self, shape: Shape) -> nn.Module:
        """See :meth:`Generator.drawing_network`."""
        return _initialised(_Drawing(shape))

    def judging_network(self, shape: Shape) -> nn.Module:
        """See :meth:`Generator.judging_network`; it restores nothing."""
        return _initialised(_Judging(shape))


class _Drawing(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.start = (256, shape.height // STEP, shape.width // STEP)
        dense = self.start[0] * self.start[1] * self.start[2]
        self.dense = nn.Sequential(
            nn.Linear(Dcgan.noise, dense, bias=False), nn.BatchNorm1d(dense), nn.LeakyReLU(SLOPE)
        )
        layers: list[nn.Module] = []
        channels = 256
        for width in (128, 64, 32):
            layers += [_double(channels, width), nn.BatchNorm2d(width), nn.LeakyReLU(SLOPE)]
            channels = width
        self.layers = nn.Sequential(*layers, _double(channels, shape.channels), nn.Tanh())

    def forward(self, noise: Tensor) -> Tensor:
        images: Tensor = self.layers(self.dense(noise).unflatten(1, self.start))
        return images


def _double(channels: int, width: int) -> nn.Module:
    """A transposed 5 × 5 convolution that doubles height and width."""
    return nn.ConvTranspose2d(channels, width, 5, 2, padding=2, output_padding=1, bias=False)


class _Judging(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = shape.channels
        for width in (64, 128, 256, 512):
            layers += [nn.Conv2d(channels, width, 5, 2, padding=2), nn.LeakyReLU(SLOPE)]
            layers += [nn.Dropout(0.3)]
            channels = width
        cells = channels * (shape.height // STEP) * (shape.width // STEP)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(cells, 1))

    def forward(self, images: Tensor, restore: bool = False) -> Tensor | Judged:
        logits: Tensor = self.layers(images)
        return (logits, None) if restore else logits


def _initialised(network: nn.Module) -> nn.Module:
    """Glorot's uniform weights, as the original's framework gives them."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
