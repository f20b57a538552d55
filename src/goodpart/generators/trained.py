"""Train a generator, keep it as a folder, load it, draw with it.

The folder has ``manifest.json`` (format, generator, settings, shape, training data, SHA-256 of
each file), ``generator.safetensors``, curves and pictures. Nothing in it is executed on loading.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from goodpart.errors import ModelError, RecipeError, TrainingError
from goodpart.generators.adversarial import HEALTHY, PICTURES, Adversarial, to_bytes
from goodpart.generators.base import LARGEST, Generator, Shape
from goodpart.generators.collapse import Collapse, Handling
from goodpart.generators.registry import create_generator
from goodpart.model_folder import FORMAT, MANIFEST, read_files, write_folder
from goodpart.progress import Progress
from goodpart.training.checkpoint import fingerprint
from goodpart.training.curves import curve_files
from goodpart.training.loop import LAST, Outcome, Schedule, start, train

WEIGHTS = "generator.safetensors"
COLLAPSES = "collapses.json"
# Twice from the last good checkpoint, then a person has to decide.
MOST_RESTARTS = 2
# Settings that change no weight on the way: a checkpoint stays good.
_FREE = ("max_minutes", "pictures")


@dataclass
class TrainedGenerator:
    """A generator that draws.

    Parameters
    ----------
    generator : Generator
    shape : Shape
    network : Module
        From noise to images in [−1, 1].
    provenance : dict
        Training data fingerprint, epochs, seconds, collapses, library versions.
    files : dict of str to bytes
        Curves and pictures.
    id : str
        Unique for each training.
    """

    generator: Generator
    shape: Shape
    network: nn.Module
    provenance: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def draw(self, seed: int, *, batch: int = 16) -> Iterator[NDArray[np.uint8]]:
        """New images without end; the same seed gives the same ones on one machine.

        Yields
        ------
        ndarray of uint8, (H, W) or (H, W, 3) RGB
        """
        rng = np.random.default_rng(seed)
        self.network.eval()
        while True:
            noise = rng.standard_normal((batch, self.generator.noise)).astype(np.float32)
            with torch.no_grad():
                yield from to_bytes(self.network(torch.from_numpy(noise)))

    def save(self, folder: Path) -> None:
        """Write the folder.

        Raises
        ------
        ModelError
            It exists already or cannot be written.
        """
        weights = {k: v.contiguous().cpu() for k, v in self.network.state_dict().items()}
        files = {**self.files, WEIGHTS: save_tensors(weights)}
        manifest = {
            "kind": "generator",
            "id": self.id,
            "generator": {"name": self.generator.name, "settings": self.generator.settings()},
            "shape": asdict(self.shape),
            "provenance": self.provenance,
        }
        write_folder(folder, files, manifest)


def load_generator(folder: Path) -> TrainedGenerator:
    """Load a generator folder; the ``generator`` folder of a synthesis is found by itself.

    Raises
    ------
    ModelError
        Missing, not a generator, of a newer format, damaged or changed.
    """
    if not (folder / MANIFEST).is_file() and (folder / "generator" / MANIFEST).is_file():
        folder = folder / "generator"
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: not a generator folder (no {MANIFEST})") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}: the manifest cannot be read: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != "generator":
        raise ModelError(f"{folder}: is not a generator; train one with: goodpart synthesize")
    if not isinstance(manifest.get("format"), int) or manifest["format"] > FORMAT:
        raise ModelError(f"{folder}: written by a newer goodpart; update goodpart")
    try:
        entry = manifest["generator"]
        files = read_files(folder, manifest)
        shape = Shape(**{key: int(value) for key, value in manifest["shape"].items()})
        sides = (shape.height, shape.width)
        if shape.channels not in (1, 3) or min(sides) < 32 or max(sides) > LARGEST:
            raise ValueError(f"shape {shape}")
        generator = create_generator(entry["name"], entry["settings"])
        network = generator.drawing_network(shape)
        network.load_state_dict(load_tensors(files.pop(WEIGHTS)))
        return TrainedGenerator(
            generator, shape, network.eval(), manifest["provenance"], files, manifest["id"]
        )
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise ModelError(f"{folder}: the generator is damaged: {text}") from None
    except (SafetensorError, RecipeError) as error:
        raise ModelError(f"{folder}: not a generator of this version: {error}") from None


def train_generator(
    generator: Generator,
    shape: Shape,
    images: NDArray[np.uint8],
    *,
    folder: Path,
    seed: int = 0,
    progress: Progress | None = None,
    say: Any = None,
    accelerator: str = "auto",
    devices: int | Literal["auto"] = 1,
) -> TrainedGenerator:
    """Train a generator; interrupted, the same call goes on from the last finished epoch.

    A collapse takes the training back to its last healthy checkpoint (or to the start, where
    there is none), with a slower judging network that sees noisier images; see
    :class:`goodpart.generators.collapse.Handling`.

    Parameters
    ----------
    generator : Generator
    shape : Shape
    images : ndarray of uint8, (N, H, W, C)
    folder : Path
        For checkpoints, pictures and TensorBoard events.
    seed : int
    progress : callable, optional
    say : callable, optional
        Told a sentence when the training collapsed and goes on otherwise.
    accelerator, devices
        See :func:`goodpart.training.loop.start`. With several devices each takes a batch in every
        step; all processes but the first end here, without an answer.

    Raises
    ------
    RecipeError
        There are no such devices.
    TrainingError
        It collapsed again and again, or the loss is not a finite number.
    """
    plan = generator.training
    fabric = start(plan.precision, accelerator=accelerator, devices=devices)
    first = fabric.is_global_zero
    belongs_to = fingerprint(
        {
            "generator": generator.name,
            "settings": {k: v for k, v in generator.settings().items() if k not in _FREE},
            "shape": asdict(shape),
            "networks": _structure(generator, shape),
            "images": hashlib.sha256(images.tobytes()).hexdigest(),
            "seed": seed,
            "torch": torch.__version__,
            **({"processes": fabric.world_size} if fabric.world_size > 1 else {}),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    collapses = _read_collapses(folder, belongs_to)
    schedule = Schedule(
        epochs=plan.epochs, keep="last", max_minutes=plan.max_minutes, precision=plan.precision
    )
    while True:
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(collapses))
            handling = Handling.after(len(collapses))
            task = Adversarial(
                generator, shape, images, folder, handling, (fabric.global_rank, fabric.world_size)
            )
        try:
            outcome = train(
                task,
                schedule,
                folder=folder,
                belongs_to=belongs_to,
                seed=seed,
                stage="generator",
                progress=progress if first else None,
                fabric=fabric,
            )
            break
        except Collapse as collapse:
            collapses.append({"epoch": collapse.epoch, "trouble": collapse.trouble})
            _refuse_another(collapses, collapse)
            if first:
                _answer(folder, belongs_to, collapses, collapse, say)
            fabric.barrier()
    if not first:
        raise SystemExit(0)
    network = task.modules["average"]
    return TrainedGenerator(
        generator,
        shape,
        network,
        provenance={
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "images": len(images),
            "seed": seed,
            "epochs": len(outcome.history),
            "stopped": outcome.stopped,
            "seconds": round(outcome.seconds, 1),
            "precision": outcome.precision,
            "processes": fabric.world_size,
            "collapses": collapses,
            "torch": torch.__version__,
        },
        files=_files(outcome, folder, generator.name),
    )


def _structure(generator: Generator, shape: Shape) -> dict[str, list[int]]:
    """Shapes of all weights: another version's checkpoint may not fit the same settings."""
    with torch.device("meta"):
        networks = (generator.drawing_network(shape), generator.judging_network(shape))
    return {
        f"{place}/{name}": list(weight.shape)
        for place, network in enumerate(networks)
        for name, weight in network.state_dict().items()
    }


def _refuse_another(collapses: list[dict[str, Any]], collapse: Collapse) -> None:
    """Give up after too many."""
    if len(collapses) > MOST_RESTARTS:
        raise TrainingError(
            f"the generator collapsed {len(collapses)} times, last in epoch {collapse.epoch}: "
            f"{collapse.trouble}; train with another --seed, a lower rate (--set rate=5e-5), "
            "or more images"
        )


def _answer(
    folder: Path,
    belongs_to: str,
    collapses: list[dict[str, Any]],
    collapse: Collapse,
    say: Any,
) -> None:
    """Go back to the last healthy checkpoint."""
    healthy = folder / HEALTHY
    (folder / LAST).unlink(missing_ok=True)
    if healthy.is_file():
        shutil.copy2(healthy, folder / LAST)
    text = json.dumps({"belongs_to": belongs_to, "collapses": collapses}, indent=1)
    (folder / COLLAPSES).write_text(text + "\n", encoding="utf-8")
    if say is not None:
        where = "the last healthy checkpoint" if healthy.is_file() else "the start"
        say(f"{collapse}; going on from {where} with a slower judging network that sees noise")


def _read_collapses(folder: Path, belongs_to: str) -> list[dict[str, Any]]:
    """Collapses of this training before an interruption; another's healthy state is dropped."""
    try:
        found = json.loads((folder / COLLAPSES).read_text(encoding="utf-8"))
        if found["belongs_to"] == belongs_to:
            collapses: list[dict[str, Any]] = found["collapses"]
            return collapses
    except (OSError, ValueError, KeyError, TypeError):
        pass  # there was none; a damaged note only means that it is found out again
    (folder / COLLAPSES).unlink(missing_ok=True)
    return []


def _files(outcome: Outcome, folder: Path, name: str) -> dict[str, bytes]:
    files = {f"training/{k}": v for k, v in curve_files(outcome.history, title=name).items()}
    # Losses of a hinge may be negative; the sum says little, so both are drawn.
    files["training/losses.png"] = losses_png(outcome.history, name)
    for picture in sorted((folder / PICTURES).glob("epoch_*.png")):
        files[f"training/{PICTURES}/{picture.name}"] = picture.read_bytes()
    return files


def losses_png(history: list[dict[str, float]], title: str) -> bytes:
    """Losses of both networks, how often the judging one is right, and diversity, over epochs."""
    import io

    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, names in (
        (upper, ("train/drawing", "train/judging")),
        (lower, ("train/judged_right", "validation/diversity")),
    ):
        for key in names:
            points = [(row["epoch"], row[key]) for row in history if key in row]
            if points and all(math.isfinite(value) for _, value in points):
                axes.plot(*zip(*points, strict=True), label=key.split("/")[1].replace("_", " "))
        axes.grid(alpha=0.3)
        axes.legend()
    upper.set(ylabel="loss", title=title)
    lower.set(xlabel="epoch", ylabel="share")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


__all__ = ["TrainedGenerator", "load_generator", "train_generator"]
