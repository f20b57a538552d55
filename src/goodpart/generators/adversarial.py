"""Two networks against each other, as one task of the training loop."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from goodpart.decision.pictures import png_bytes
from goodpart.generators.base import Generator, Shape
from goodpart.generators.collapse import Collapse, Handling, Health, diversity
from goodpart.generators.diffaugment import augment
from goodpart.training.loop import LAST
from goodpart.training.task import Task

GRID = 4  # pictures show GRID × GRID fixed noises
PICTURES = "pictures"
HEALTHY = "healthy.safetensors"


class Adversarial(Task):
    """Learn to draw images like the given ones.

    Parameters
    ----------
    generator : Generator
    shape : Shape
    images : ndarray of uint8, (N, H, W, C)
        Of the shape.
    folder : Path
        For pictures; where the loop keeps its checkpoints.
    handling : Handling
        What earlier collapses taught.

    Attributes
    ----------
    modules : dict
        ``drawing``, ``judging``, ``average`` (what draws in the end) and ``health``.
    """

    def __init__(
        self,
        generator: Generator,
        shape: Shape,
        images: NDArray[np.uint8],
        folder: Path,
        handling: Handling | None = None,
    ) -> None:
        self.generator, self.shape, self.folder = generator, shape, folder
        self.plan = generator.training
        self.handling = handling or Handling()
        self.images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        drawing = generator.drawing_network(shape)
        judging = generator.judging_network(shape)
        average = generator.drawing_network(shape).requires_grad_(False)
        average.load_state_dict(drawing.state_dict())
        self.health = Health()
        self.modules = {
            "drawing": drawing,
            "judging": judging,
            "average": average,
            "health": self.health,
        }
        self.optimizers = {
            "drawing": _adam(drawing, self.plan.rate, self.plan.betas),
            "judging": _adam(judging, self.plan.rate * self.handling.slower, self.plan.betas),
        }
        self.fixed_noise = torch.from_numpy(
            np.random.default_rng(0).standard_normal((GRID**2, generator.noise)).astype(np.float32)
        )
        self.real_diversity = diversity(self.images[: 4 * GRID**2].float() / 127.5 - 1)
        self.epoch = 0
        self._judging_losses: list[float] = []

    @property
    def steps_per_epoch(self) -> int:
        """As the generator plans it, or once through the images."""
        return self.plan.steps or max(1, len(self.images) // self.plan.batch)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        """Real images in [−1, 1]; each is shown once before any is shown again."""
        self.epoch, self._judging_losses = epoch, []
        order: list[int] = []
        for _ in range(self.steps_per_epoch):
            while len(order) < self.plan.batch:
                order += rng.permutation(len(self.images)).tolist()
            chosen, order = order[: self.plan.batch], order[self.plan.batch :]
            yield self.images[chosen].float() / 127.5 - 1

    def step(self, batch: Any, fabric: Fabric) -> dict[str, Tensor]:
        """One step of the judging network, one of the drawing network, one of the average."""
        real = fabric.to_device(batch)
        noise = torch.randn(len(real), self.generator.noise, device=real.device)
        judging, drawing = self.modules["judging"], self.modules["drawing"]
        drawn = drawing(noise)
        shown = self._shown(real)
        of_real, restored = judging(shown, restore=True)
        of_drawn = judging(self._shown(drawn.detach()))
        judged = self._judging_loss(of_real, of_drawn)
        total = judged
        if restored is not None:
            # Features that can restore their image describe all of it, not only what differs.
            small = F.adaptive_avg_pool2d(shown, restored.shape[2:])
            total = total + F.smooth_l1_loss(restored, small)
        self.optimizers["judging"].zero_grad()
        fabric.backward(total)
        self.optimizers["judging"].step()

        judging.requires_grad_(False)
        fooled = self._drawing_loss(judging(self._shown(drawn)))
        self.optimizers["drawing"].zero_grad()
        fabric.backward(fooled)
        self.optimizers["drawing"].step()
        judging.requires_grad_(True)
        self._follow()
        self._judging_losses.append(float(judged.detach()))
        right = ((of_real > 0).float().mean() + (of_drawn < 0).float().mean()) / 2
        return {
            "loss": fooled.detach() + judged.detach(),
            "drawing": fooled.detach(),
            "judging": judged.detach(),
            "judged_right": right.detach(),
        }

    def validate(self) -> dict[str, float]:
        """Diversity of the fixed noises; a picture where one is due; collapse.

        Raises
        ------
        Collapse
            Health says so.
        """
        drawn = self._draw_fixed()
        found = diversity(drawn) / self.real_diversity if self.real_diversity > 0 else 1.0
        trouble = self.health(float(np.mean(self._judging_losses)), found)
        if trouble is not None:
            raise Collapse(trouble, self.epoch)
        if self.health.well:
            _link(self.folder / LAST, self.folder / HEALTHY)
        if self.epoch == 1 or self.epoch % self.plan.pictures == 0:
            self._picture(drawn)
        return {"diversity": found}

    def _draw_fixed(self) -> Tensor:
        average = self.modules["average"]
        device = next(average.parameters()).device
        drawn: Tensor = average(self.fixed_noise.to(device))
        return drawn.float().cpu()

    def _picture(self, drawn: Tensor) -> None:
        """The grid of fixed noises, as a PNG and for TensorBoard."""
        from torch.utils.tensorboard import SummaryWriter

        grid = grid_of(to_bytes(drawn))
        folder = self.folder / PICTURES
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"epoch_{self.epoch:05d}.png").write_bytes(png_bytes(grid))
        step = self.epoch * self.steps_per_epoch
        channels_last = grid if grid.ndim == 3 else grid[..., None]
        with SummaryWriter(str(self.folder / "tensorboard" / PICTURES)) as writer:
            writer.add_image("drawn", channels_last, step, dataformats="HWC")

    def _shown(self, images: Tensor) -> Tensor:
        shown = augment(images, self.plan.augment)
        if self.handling.noise > 0:
            shown = shown + self.handling.noise * torch.randn_like(shown)
        return shown

    def _judging_loss(self, of_real: Tensor, of_drawn: Tensor) -> Tensor:
        if self.generator.loss == "hinge":
            return F.relu(1 - of_real).mean() + F.relu(1 + of_drawn).mean()
        return (F.softplus(-of_real) + F.softplus(of_drawn)).mean()

    def _drawing_loss(self, of_drawn: Tensor) -> Tensor:
        if self.generator.loss == "hinge":
            return -of_drawn.mean()
        return F.softplus(-of_drawn).mean()

    @torch.no_grad()
    def _follow(self) -> None:
        """The average follows the drawing network; its statistics are taken as they are."""
        average, drawing = self.modules["average"], self.modules["drawing"]
        for mean, now in zip(average.parameters(), drawing.parameters(), strict=True):
            mean.lerp_(now, 1 - self.plan.average)
        for kept, statistic in zip(average.buffers(), drawing.buffers(), strict=True):
            kept.copy_(statistic)


def to_bytes(images: Tensor) -> NDArray[np.uint8]:
    """(N, C, H, W) in [−1, 1] to uint8 (N, H, W) or (N, H, W, 3)."""
    values = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pixels = values.permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[3] == 1 else pixels)


def grid_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (N, H, W[, 3]) side by side, :data:`GRID` in a row."""
    rows = [np.concatenate(list(images[i : i + GRID]), axis=1) for i in range(0, GRID**2, GRID)]
    return np.concatenate(rows, axis=0)


def _adam(module: nn.Module, rate: float, betas: tuple[float, float]) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, betas=betas)


def _link(source: Path, target: Path) -> None:
    """The same file under another name; checkpoints are replaced, never written over."""
    if not source.is_file():
        return
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without links
        shutil.copy2(source, temporary)
    os.replace(temporary, target)
