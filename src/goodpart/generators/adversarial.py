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
from goodpart.generators.codes import codes_of
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
    place : (int, int)
        Which of how many processes this is; each learns from images of its own.

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
        place: tuple[int, int] = (0, 1),
    ) -> None:
        self.generator, self.shape, self.folder = generator, shape, folder
        self.plan = generator.training
        self.handling = handling or Handling()
        self.rank, self.processes = place
        self.images = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        if self.plan.anchor > 0:
            self.codes = torch.from_numpy(codes_of(images, generator.noise))
        else:
            self.codes = torch.empty(len(images), 0)
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
        self.epoch = self._seen = 0
        self._fabric: Fabric | None = None
        self._judging_losses: list[float] = []

    @property
    def steps_per_epoch(self) -> int:
        """As the generator plans it, or once through the images."""
        return self.plan.steps or max(1, len(self.images) // (self.plan.batch * self.processes))

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Real images in [−1, 1] with their codes; each is shown once before any is shown again."""
        self.epoch, self._judging_losses = epoch, []
        self._seen = (epoch - 1) * self.steps_per_epoch
        order: list[int] = []
        together = self.plan.batch * self.processes
        for _ in range(self.steps_per_epoch):
            while len(order) < together:
                order += rng.permutation(len(self.images)).tolist()
            chosen, order = order[self.rank : together : self.processes], order[together:]
            yield self.images[chosen].float() / 127.5 - 1, self.codes[chosen]

    def step(self, batch: Any, fabric: Fabric) -> dict[str, Tensor]:
        """One step of the judging network, one of the drawing network, one of the average."""
        real, codes = (fabric.to_device(tensor) for tensor in batch)
        noise = torch.randn(len(real), self.generator.noise, device=real.device)
        anchored = len(real) // 2 if self.plan.anchor > 0 else 0
        if anchored:
            # A code with less than all features is filled up with noise, see codes_of.
            known = codes[:anchored]
            noise[:anchored] = torch.where(torch.isnan(known), noise[:anchored], known)
        judging, drawing = self.modules["judging"], self.modules["drawing"]
        drawn = drawing(noise)
        shown = self._shown(real)
        self.optimizers["judging"].zero_grad()
        # One way back after each way through; processes exchange their gradients in the second.
        with fabric.no_backward_sync(judging):  # type: ignore[arg-type]
            of_drawn = judging(self._shown(drawn.detach()))
            judged_drawn = self._judging_loss(-of_drawn)
            fabric.backward(judged_drawn)
        of_real, restored = judging(shown, restore=True)
        judged_real = self._judging_loss(of_real)
        total = judged_real
        if restored is not None:
            # Features that can restore their image describe all of it, not only what differs.
            small = F.adaptive_avg_pool2d(shown, restored.shape[2:])
            total = total + F.smooth_l1_loss(restored, small)
        fabric.backward(total)
        self.optimizers["judging"].step()
        judged = judged_real + judged_drawn

        judging.requires_grad_(False)
        with fabric.no_backward_sync(judging):  # type: ignore[arg-type]
            fooled = self._drawing_loss(judging(self._shown(drawn)))
        aim = fooled
        figures = {}
        if anchored:
            apart = F.l1_loss(drawn[:anchored].float(), real[:anchored])
            aim = aim + self.plan.anchor * apart
            figures["anchor"] = apart.detach()
        self.optimizers["drawing"].zero_grad()
        fabric.backward(aim)
        self.optimizers["drawing"].step()
        judging.requires_grad_(True)
        self._follow()
        self._fabric = fabric
        self._judging_losses.append(float(judged.detach()))
        right = ((of_real > 0).float().mean() + (of_drawn < 0).float().mean()) / 2
        return {
            "loss": fooled.detach() + judged.detach(),
            "drawing": fooled.detach(),
            "judging": judged.detach(),
            "judged_right": right.detach(),
            **figures,
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
        loss = float(np.mean(self._judging_losses))
        if self._fabric is not None and self.processes > 1:
            # What the first process sees counts for all: they go on or back together.
            loss, found = self._fabric.broadcast((loss, found))
        trouble = self.health(loss, found)
        if trouble is not None:
            raise Collapse(trouble, self.epoch)
        if self.rank > 0:
            return {"diversity": found}
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

    def _judging_loss(self, right: Tensor) -> Tensor:
        """Of logits that should be above 0: of real images, and of drawn ones the negative."""
        return F.relu(1 - right).mean() if self.generator.loss == "hinge" else self._soft(right)

    def _soft(self, right: Tensor) -> Tensor:
        return F.softplus(-right).mean()

    def _drawing_loss(self, of_drawn: Tensor) -> Tensor:
        if self.generator.loss == "hinge":
            return -of_drawn.mean()
        return self._soft(of_drawn)

    @torch.no_grad()
    def _follow(self) -> None:
        """The average follows the drawing network; its statistics are taken as they are."""
        average, drawing = self.modules["average"], self.modules["drawing"]
        self._seen += 1
        # A short memory at first: the average need not forget the weights of the start.
        memory = min(self.plan.average, self._seen / (self._seen + 9))
        for mean, now in zip(average.parameters(), drawing.parameters(), strict=True):
            mean.lerp_(now, 1 - memory)
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
