"""Train the autoencoder's networks and hand them back as ONNX files and plain arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from goodpart.detectors.autoencoder_networks import (
    Layer,
    Restorer,
    SeedAutoencoder,
    export_onnx,
    layers,
    load_seed_weights,
)
from goodpart.detectors.autoencoder_presets import Configuration
from goodpart.detectors.autoencoder_tasks import Denoising, Reconstruction, Restoring
from goodpart.progress import Progress
from goodpart.training.checkpoint import fingerprint
from goodpart.training.curves import curve_files
from goodpart.training.loop import Outcome, Precision, Schedule, train


@dataclass(frozen=True)
class Trained:
    """One network after training.

    Parameters
    ----------
    onnx : bytes
    weights : dict of str to ndarray
    layers : list of dict
    outcome : Outcome or None
        ``None`` where nothing was trained (``epochs=0``).
    curves : dict of str to bytes
        Files for the model folder.
    """

    onnx: bytes
    weights: dict[str, NDArray[Any]]
    layers: list[Layer]
    outcome: Outcome | None
    curves: dict[str, bytes]


@dataclass(frozen=True)
class Job:
    """What does not change between the networks of one detector.

    Parameters
    ----------
    configuration : Configuration
    shape : (int, int, int)
        Channels, height, width of the network's input.
    turns : bool
        Whether to show quarter turns.
    seed : int
    folder : Path
        For checkpoints.
    precision : "auto", "32-true" or "bf16-mixed"
    max_minutes : float, optional
        For each network.
    weights : path, optional
        Folder of published weights to start from.
    """

    configuration: Configuration
    shape: tuple[int, int, int]
    turns: bool
    seed: int
    folder: Path
    precision: Precision
    max_minutes: float | None = None
    weights: str | None = None


def train_network(
    job: Job,
    images: Sequence[NDArray[Any]],
    validation: Sequence[NDArray[Any]],
    *,
    name: str,
    pretraining: Sequence[NDArray[Any]] = (),
    pretrain_epochs: int = 0,
    early_stop: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train one network.

    Parameters
    ----------
    job : Job
    images, validation, pretraining : sequence of ndarray, (H, W, C)
        Prepared for the network; of the pretraining images nothing but weights remains.
    name : str
        Of the network, for files, seeds and progress.
    pretrain_epochs : int
    early_stop : bool
        Whether the validation images may decide when to stop and which weights to keep.
    progress : callable, optional
    """
    made = job.configuration
    torch_seed = np.random.SeedSequence([job.seed, *name.encode()]).generate_state(1)[0]
    with torch.random.fork_rng():
        torch.manual_seed(int(torch_seed))
        network = _create(made, job.shape)
    if job.weights is not None:
        assert isinstance(network, SeedAutoencoder)
        load_seed_weights(network, job.weights)
    stages = [("training", images, made.epochs)]
    if len(pretraining) and pretrain_epochs:
        stages.insert(0, ("pretraining", pretraining, pretrain_epochs))
    outcome, curves = None, {}
    for stage, learned, epochs in stages:
        if epochs == 0:
            continue
        main = stage == "training"
        task = _task(network, learned, validation, replace(made, epochs=epochs), job.turns)
        outcome = train(
            task,
            Schedule(
                epochs=epochs,
                rate=made.course,
                warmup=20 if made.course == "cosine" else 0,
                patience=made.patience if main and early_stop else None,
                keep="best" if main and early_stop else "last",
                max_minutes=job.max_minutes,
                precision=job.precision,
            ),
            folder=job.folder / name / stage,
            belongs_to=fingerprint(
                {
                    "job": {k: str(v) for k, v in asdict(job).items() if k != "folder"},
                    "name": name,
                    "stage": stage,
                    "pretrain": [pretrain_epochs, digest(pretraining)],
                    "images": digest(learned),
                    "validation": digest(validation),
                    "torch": torch.__version__,
                }
            ),
            seed=int(torch_seed),
            stage=f"{name}-{stage}",
            progress=progress,
        )
        files = curve_files(
            outcome.history,
            title=f"{name} {stage}",
            best_epoch=outcome.best_epoch if main and early_stop else 0,
        )
        curves.update({f"training/{name}/{stage}/{key}": data for key, data in files.items()})
    network = network.cpu().eval()
    network = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return Trained(
        onnx=export_onnx(network, job.shape),
        weights={key: value.numpy().copy() for key, value in network.state_dict().items()},
        layers=layers(network, job.shape),
        outcome=outcome,
        curves=curves,
    )


def digest(images: Sequence[NDArray[Any]]) -> str:
    """SHA-256 over images in their order."""
    found = hashlib.sha256()
    for image in images:
        found.update(str((image.shape, image.dtype.str)).encode())
        found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def _create(made: Configuration, shape: tuple[int, int, int]) -> nn.Module:
    if made.network == "seed":
        return SeedAutoencoder(variational=made.variational)
    return Restorer(shape[0], made.widths, made.skips)


def _task(
    network: nn.Module,
    images: Sequence[NDArray[Any]],
    validation: Sequence[NDArray[Any]],
    made: Configuration,
    turns: bool,
) -> Reconstruction:
    kind = Denoising if made.network == "seed" else Restoring
    return kind(network, images, validation, made, turns=turns)
