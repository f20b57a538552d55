"""What every generator offers: two networks, their losses, and how long they are trained."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from goodpart.training.loop import Precision

LARGEST = 2048
"""Longer side in pixels that any generator makes."""


@dataclass(frozen=True)
class Shape:
    """Of the images that a generator draws.

    Parameters
    ----------
    channels : int
        1 grey, 3 colour.
    height, width : int
        Pixels.
    """

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Training:
    """How a generator is trained.

    Parameters
    ----------
    epochs, batch : int
    steps : int or None
        Steps in an epoch; ``None``: once through the images.
    rate : float
        Learning rate of Adam.
    betas : (float, float)
        Of Adam.
    average : float
        Decay of the exponential moving average of the weights that draws; 0: the last weights.
    augment : tuple of str
        What :func:`goodpart.generators.diffaugment.augment` does to what the discriminator sees.
    anchor : float
        Weight of what ties the drawing network to the real images: half of a batch is drawn from
        their codes (:func:`goodpart.generators.codes.codes_of`) and must resemble them; 0: nothing.
    pictures : int
        A grid of the same 16 noises is drawn every so many epochs.
    max_minutes : float or None
        Stop after this time, whatever was reached.
    precision : "auto", "32-true" or "bf16-mixed"
    """

    epochs: int
    batch: int
    rate: float
    betas: tuple[float, float]
    steps: int | None = None
    average: float = 0.0
    augment: tuple[str, ...] = ()
    anchor: float = 0.0
    pictures: int = 5
    max_minutes: float | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "pictures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not 0 < self.rate < 1:
            raise ValueError("rate must lie between 0 and 1")
        if self.batch < 2:
            raise ValueError("batch must be at least 2: batch normalisation needs it")
        if self.steps is not None and self.steps < 1:
            raise ValueError("steps must be at least 1")
        if self.anchor < 0:
            raise ValueError("anchor must not be negative")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise ValueError("max_minutes must be more than 0")


class Generator(ABC):
    """Base of all generators: keyword-only settings that are only stored.

    Attributes
    ----------
    name : str
        What ``--generator`` calls it.
    noise : int
        Length of the noise vector, standard normal.
    loss : "cross-entropy" or "hinge"
        Binary cross-entropy on logits with the generator's non-saturating form (Goodfellow et
        al., 2014), or the hinge loss (Lim and Ye, 2017).
    size : int or None
        Longer side in pixels of what is drawn; ``None``: the images' own.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    noise: ClassVar[int]
    loss: ClassVar[Literal["cross-entropy", "hinge"]]
    size: int | None

    @property
    @abstractmethod
    def training(self) -> Training:
        """How long and how to train."""

    @abstractmethod
    def fitting_shape(self, height: int, width: int, channels: int) -> Shape:
        """The shape that the layers make for images of this height and width.

        Raises
        ------
        RecipeError
            ``size`` cannot be made by the layers.
        """

    @abstractmethod
    def drawing_network(self, shape: Shape) -> nn.Module:
        """From noise (N, :attr:`noise`) to images (N, C, H, W) in [−1, 1]; new weights."""

    @abstractmethod
    def judging_network(self, shape: Shape) -> nn.Module:
        """From images (N, C, H, W) to logits of any shape; new weights.

        Called with ``restore=True`` it returns (logits, restored), where ``restored`` is the
        image at a smaller size, or ``None`` where the network restores nothing.
        """

    def settings(self) -> dict[str, Any]:
        """The constructor's settings by name."""
        names = [n for n in inspect.signature(type(self).__init__).parameters if n != "self"]
        return {name: getattr(self, name) for name in names}


Judged = tuple[Tensor, Tensor | None]
