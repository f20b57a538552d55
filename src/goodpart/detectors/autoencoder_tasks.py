"""What the training loop is given for the autoencoder's two networks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from goodpart.detectors.autoencoder_corrupt import corrupt
from goodpart.detectors.autoencoder_presets import Configuration
from goodpart.parts.augment import ROTATIONS, rotate
from goodpart.training.task import Task

Batch = tuple[Tensor, Tensor, Tensor]

# Corruptions of validation images are drawn once, so that their losses can be compared.
_VALIDATION_SEED = 20_000
# Corrupted pixels are few: their restoration weighs this much more.
_CORRUPTED_WEIGHT = 4.0


class Reconstruction(Task):
    """Restore images; what the input is and what the loss is, subclasses say.

    Parameters
    ----------
    network : Module
    images : sequence of ndarray, (H, W, C)
        Learned from.
    validation : sequence of ndarray
        Never learned from; may be empty.
    configuration : Configuration
    turns : bool
        Whether to show quarter turns.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Sequence[NDArray[Any]],
        validation: Sequence[NDArray[Any]],
        configuration: Configuration,
        *,
        turns: bool,
    ) -> None:
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images, self.validation = images, validation
        self.configuration, self.turns = configuration, turns
        self.modules = {"network": self.network}
        self.optimizers = {
            "network": torch.optim.AdamW(
                network.parameters(),
                lr=configuration.rate,
                weight_decay=configuration.weight_decay,
            )
        }

    @property
    def steps_per_epoch(self) -> int:
        """See :attr:`Task.steps_per_epoch`."""
        return math.ceil(len(self.shown()) / self.configuration.batch)

    def shown(self) -> list[tuple[int, int]]:
        """What one epoch shows: (image, quarter turn in degrees)."""
        return [(index, 0) for index in range(len(self.images))]

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Batch]:
        """See :meth:`Task.batches`."""
        shown = self.shown()
        order = rng.permutation(len(shown))
        for start in range(0, len(order), self.configuration.batch):
            chosen = [shown[i] for i in order[start : start + self.configuration.batch]]
            yield collate([self.example(self.images[i], turn, rng) for i, turn in chosen])

    def example(
        self, image: NDArray[Any], turn: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Input (H, W, C), target (H, W, C) and corruption mask (H, W)."""
        raise NotImplementedError

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``"loss"`` and its parts."""
        raise NotImplementedError

    def step(self, batch: Batch, fabric: Fabric) -> dict[str, Tensor]:
        """See :meth:`Task.step`."""
        found = self.losses(batch)
        self.optimizers["network"].zero_grad()
        fabric.backward(found["loss"])
        if self.configuration.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.configuration.clip)
        self.optimizers["network"].step()
        return found

    def validate(self) -> dict[str, float]:
        """See :meth:`Task.validate`."""
        sums: dict[str, float] = {}
        rng = np.random.default_rng(_VALIDATION_SEED)
        for start in range(0, len(self.validation), self.configuration.batch):
            chosen = self.validation[start : start + self.configuration.batch]
            found = self.losses(collate([self.example(image, 0, rng) for image in chosen]))
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(chosen)
        return {name: value / len(self.validation) for name, value in sums.items()}


class Denoising(Reconstruction):
    """The seed's training: restore the image from its noisy copy, mean squared error.

    Images are uint8 or float32 0..255; the network sees them as 0..1.
    """

    def shown(self) -> list[tuple[int, int]]:
        """Every image, or every image at its four rotations."""
        turns = ROTATIONS if self.turns else (0,)
        return [(index, turn) for index in range(len(self.images)) for turn in turns]

    def example(
        self, image: NDArray[Any], turn: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Noisy image, image, and no mask."""
        clean = rotate(image, turn).astype(np.float32) / np.float32(255)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        noisy = np.clip(clean + np.float32(self.configuration.noise) * noise, 0, 1)
        return noisy, clean, np.zeros(clean.shape[:2], dtype=np.float32)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Mean squared error, and the KL term of the variational network."""
        noisy, clean, _ = batch
        error = functional.mse_loss(self.modules["network"](noisy), clean)
        if not self.configuration.variational:
            return {"loss": error}
        divergence: Any = self.network.divergence
        loss = error + self.configuration.divergence * divergence
        return {"loss": loss, "error": error, "divergence": divergence}


class Restoring(Reconstruction):
    """Undo corruptions. Images are float, with zero mean and unit spread."""

    def example(
        self, image: NDArray[Any], turn: int, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Corrupted image, image, and where it was corrupted."""
        clean = image.astype(np.float32)
        if self.turns:
            clean = np.rot90(clean, int(rng.integers(4)))
            clean = clean[:, :: int(rng.choice([-1, 1]))]
        clean = np.ascontiguousarray(clean) * np.float32(rng.uniform(0.9, 1.1))
        clean += np.float32(rng.normal(0, 0.05))
        dirty, mask = clean, np.zeros(clean.shape[:2], dtype=np.float32)
        if self.configuration.corrupt:
            dirty, mask = corrupt(clean, self.images, rng)
        if self.configuration.noise > 0:
            # Relative to the full range; an image's unit spread is about a quarter of it.
            sigma = np.float32(4 * self.configuration.noise)
            dirty = dirty + sigma * rng.standard_normal(dirty.shape, dtype=np.float32)
        return dirty, clean, mask

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Absolute error, corrupted pixels weighted up, and 1 - SSIM."""
        dirty, clean, mask = batch
        made = self.configuration
        restored = self.modules["network"](dirty)
        weight = 1 + _CORRUPTED_WEIGHT * mask
        error = (weight * (restored - clean).abs()).sum() / (weight.sum() * clean.shape[1])
        found = {"loss": error, "error": error}
        if made.ssim > 0:
            likeness = ssim(restored, clean)
            found["loss"] = found["loss"] + made.ssim * (1 - likeness)
            found["ssim"] = likeness
        return found


def collate(examples: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]) -> Batch:
    """Input and target as (N, C, H, W), the mask as (N, 1, H, W)."""
    dirty, clean, mask = (np.stack(arrays) for arrays in zip(*examples, strict=True))
    # (N, H, W, C) seen as (N, C, H, W) is torch's channels_last: no copy.
    return (
        torch.from_numpy(dirty).permute(0, 3, 1, 2),
        torch.from_numpy(clean).permute(0, 3, 1, 2),
        torch.from_numpy(mask)[:, None],
    )


def ssim(a: Tensor, b: Tensor, window: int = 7) -> Tensor:
    """Mean structural similarity (Wang et al. 2004) with a flat window, for unit-spread images.

    Windows lie half a window apart: at every pixel they would take most of the training time.
    """
    steady, contrast = 0.01, 0.03

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, window, window // 2)

    ma, mb = mean(a), mean(b)
    va, vb = mean(a * a) - ma * ma, mean(b * b) - mb * mb
    both = mean(a * b) - ma * mb
    top = (2 * ma * mb + steady) * (2 * both + contrast)
    return (top / ((ma * ma + mb * mb + steady) * (va + vb + contrast))).mean()
