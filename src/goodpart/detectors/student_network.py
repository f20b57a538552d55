"""The student in torch, what it is taught, and its export. Only training imports this module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from goodpart.detectors.autoencoder_networks import Layer, export_onnx, layers
from goodpart.progress import Progress
from goodpart.training.checkpoint import fingerprint
from goodpart.training.curves import curve_files
from goodpart.training.loop import Outcome, Precision, Schedule, train
from goodpart.training.task import Task

# Grey levels added to an image's spread: a nearly empty image is not blown up to full contrast.
SPREAD_FLOOR = 8.0
WARM_UP = 20


class _Residual(nn.Module):
    """Two 3×3 convolutions beside the identity; it starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(functional.relu(self.first(functional.relu(x))))


class StudentNetwork(nn.Module):
    """Predicts features at stride 8 from pixels: strides 4, 8 and 16, and back to 8.

    Parameters
    ----------
    channels : int
        Of the image: 1 or 3.
    features : int
        How many to predict.
    widths : (int, int)
        Channels at stride 4, and at strides 8 and 16.

    Notes
    -----
    Input float32 (N, channels, H, W), 0..255, H and W multiples of 16; each image is brought to
    zero mean and unit spread inside, so that the light's strength does not matter. Output
    (N, features, H / 8, W / 8).
    """

    def __init__(self, channels: int, features: int, widths: tuple[int, int]) -> None:
        super().__init__()
        fine, coarse = widths
        self.stem = nn.Conv2d(channels, fine, 8, stride=4, padding=2)
        self.fine = _Residual(fine)
        self.down = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.middle = _Residual(coarse)
        self.down_again = nn.Conv2d(coarse, coarse, 3, stride=2, padding=1)
        self.far = nn.Sequential(_Residual(coarse), _Residual(coarse))
        self.up = nn.Conv2d(coarse, coarse, 1)
        self.last = _Residual(coarse)
        self.head = nn.Conv2d(coarse, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = self.fine(self.stem(normalised(x)))
        x = self.middle(self.down(functional.relu(x)))
        far = self.up(functional.relu(self.far(self.down_again(functional.relu(x)))))
        x = x + functional.interpolate(far, scale_factor=2.0, mode="nearest")
        return self.head(functional.relu(self.last(x)))


def normalised(x: Tensor) -> Tensor:
    """Each channel of each image at zero mean and unit spread, in operators of every opset."""
    away = x - functional.adaptive_avg_pool2d(x, 1)
    spread = functional.adaptive_avg_pool2d(away * away, 1).sqrt()
    return away / (spread + SPREAD_FLOOR)


class Together(nn.Module):
    """Several students on one image, their predictions one after the other: (N, M·K, h, w)."""

    def __init__(self, students: Sequence[nn.Module]) -> None:
        super().__init__()
        self.students = nn.ModuleList(students)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.cat([student(x) for student in self.students], dim=1)


@dataclass(frozen=True)
class Lesson:
    """What one student learns from.

    Parameters
    ----------
    pixels : ndarray of float16, (N, channels, H, W)
        Of all images; memory-mapped is fine.
    features : ndarray of float16, (N, h, w, K)
        The backbone's, of all images.
    learned : list of int
        Which images it may see.
    mean : ndarray of float32, (h, w, K)
    whitening : ndarray of float32, (K, K)
        Targets are ``(features - mean) @ whitening``.
    mask : ndarray of bool, (h, w), optional
        Cells that count.
    """

    pixels: NDArray[Any]
    features: NDArray[Any]
    learned: list[int]
    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Course:
    """How a student is trained.

    Parameters
    ----------
    widths : (int, int)
        See :class:`StudentNetwork`.
    steps : int
        Batches in all, at least one round over the images.
    batch : int
    rate : float
        Of AdamW, falling along a cosine.
    weight_decay : float
    precision : "auto", "32-true" or "bf16-mixed"
    max_minutes : float, optional
    """

    widths: tuple[int, int]
    steps: int
    batch: int
    rate: float
    weight_decay: float
    precision: Precision
    max_minutes: float | None


class Following(Task):
    """Predict the backbone's whitened features; squared error over the cells that count."""

    def __init__(self, network: nn.Module, lesson: Lesson, course: Course) -> None:
        self.lesson, self.course = lesson, course
        self.modules = {
            "student": network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        }
        self.optimizers = {
            "student": torch.optim.AdamW(
                network.parameters(), lr=course.rate, weight_decay=course.weight_decay
            )
        }
        counts = np.ones(lesson.mean.shape[:2], bool) if lesson.mask is None else lesson.mask
        self._weight = torch.from_numpy(counts.astype(np.float32) / counts.sum())

    @property
    def steps_per_epoch(self) -> int:
        """See :attr:`Task.steps_per_epoch`."""
        return math.ceil(len(self.lesson.learned) / self.course.batch)

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """See :meth:`Task.batches`: pixels and targets (N, K, h, w)."""
        order = rng.permutation(self.lesson.learned)
        for start in range(0, len(order), self.course.batch):
            some = np.sort(order[start : start + self.course.batch])
            pixels = self.lesson.pixels[some].astype(np.float32)
            away = self.lesson.features[some].astype(np.float32) - self.lesson.mean
            targets = (away @ self.lesson.whitening).transpose(0, 3, 1, 2)
            yield torch.from_numpy(pixels), torch.from_numpy(np.ascontiguousarray(targets))

    def step(self, batch: tuple[Tensor, Tensor], fabric: Fabric) -> dict[str, Tensor]:
        """See :meth:`Task.step`."""
        pixels, targets = batch
        error = (self.modules["student"](pixels).float() - targets).square().mean(dim=1)
        loss = (error * self._weight.to(error.device)).sum() / len(error)
        self.optimizers["student"].zero_grad()
        fabric.backward(loss)
        self.optimizers["student"].step()
        return {"loss": loss}


@dataclass(frozen=True)
class Taught:
    """A trained student.

    Parameters
    ----------
    network : Module
    outcome : Outcome
    curves : dict of str to bytes
        Files for the model folder.
    """

    network: nn.Module
    outcome: Outcome
    curves: dict[str, bytes]


def teach(
    lesson: Lesson,
    course: Course,
    *,
    name: str,
    seed: int,
    folder: Path,
    belongs_to: str,
    progress: Progress | None = None,
) -> Taught:
    """Train one student; interrupted, the same call goes on where it stood.

    Parameters
    ----------
    lesson : Lesson
    course : Course
    name : str
        For files, seeds and progress.
    seed : int
    folder : Path
        For checkpoints.
    belongs_to : str
        Says which images these are: a checkpoint of others is not taken.
    progress : callable, optional
    """
    own_seed = int(np.random.SeedSequence([seed, *name.encode()]).generate_state(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(own_seed)
        network = StudentNetwork(lesson.pixels.shape[1], len(lesson.whitening), course.widths)
    task = Following(network, lesson, course)
    epochs = max(1, round(course.steps / task.steps_per_epoch))
    outcome = train(
        task,
        Schedule(
            epochs=epochs,
            rate="cosine",
            warmup=WARM_UP,
            keep="last",
            max_minutes=course.max_minutes,
            precision=course.precision,
        ),
        folder=folder / name,
        belongs_to=fingerprint(
            {
                "course": asdict(course),
                "images": belongs_to,
                "learned": lesson.learned,
                "seed": own_seed,
                "torch": torch.__version__,
            }
        ),
        seed=own_seed,
        stage=name,
        progress=progress,
    )
    files = curve_files(outcome.history, title=name, best_epoch=0)
    return Taught(
        network.cpu().eval().to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        outcome,
        {f"training/{name}/{key}": data for key, data in files.items()},
    )


def together(
    students: Sequence[nn.Module], shape: tuple[int, int, int]
) -> tuple[bytes, list[Layer]]:
    """All students as one ONNX file, and their layers, for an input (channels, height, width)."""
    network = Together(students).eval()
    return export_onnx(network, shape), layers(network, shape)
