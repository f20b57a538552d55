"""The training loop: Muon and AdamW, cosine rate over a time budget, averaged weights.

Everything that a restart needs is in the run's folder: ``state-STEP.safetensors`` (weights,
averaged weights, both optimisers) and ``run.json``. No pickle.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pool as pools
import targets
import torch
from muon import Muon
from network import Shape, Student
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

HELD_OUT = 512  # the first images of the pool are never trained on


@dataclass
class Settings:
    """Every default of a run."""

    hours: float = 1.5  # of training, over all restarts
    batch: int = 16
    peak: float = 5e-3  # learning rate of AdamW: first layer, last layers, biases
    muon: float = 0.02  # learning rate of Muon: the convolutions between
    warmup: float = 0.02  # share of the time budget
    decay: float = 0.01  # AdamW's weight decay
    clip: float = 1.0  # gradient norm
    average: float = 0.999  # of the weights, per step
    floor: float = 0.02  # of the whitening, as a share of the mean variance
    weights: tuple[float, float, float] = (0.2, 0.3, 0.5)  # of strides 4, 8, 16 in the loss
    seed: int = 0
    save_minutes: float = 3.0


class Batches:
    """Random batches from what the pool holds by now, targets whitened."""

    def __init__(self, folder: Path, whiten: dict[str, np.ndarray], settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.arrays = pools.open_pool(folder)
        self.whiten = {k: torch.from_numpy(v) for k, v in whiten.items()}
        self.rng = np.random.default_rng(settings.seed)
        self.queue = np.empty(0, np.int64)

    def load(self, index: np.ndarray) -> tuple[Tensor, list[Tensor]]:
        index = np.sort(index)
        images = torch.from_numpy(self.arrays["images"][index]).permute(0, 3, 1, 2).float()
        wanted = []
        for level in targets.LEVELS:
            value = torch.from_numpy(self.arrays[level][index]).float()
            mean, matrix = self.whiten[f"{level}.mean"], self.whiten[f"{level}.matrix"]
            bias = -(matrix @ mean)
            value = functional.conv2d(value, matrix[:, :, None, None], bias)
            if level == "stride16":
                value = functional.interpolate(value, scale_factor=2, mode="bilinear")
            wanted.append(value)
        return images, wanted

    def next(self) -> tuple[Tensor, list[Tensor]]:
        if len(self.queue) < self.settings.batch:
            self.queue = self.rng.permutation(np.arange(HELD_OUT, pools.count(self.folder)))
        index, self.queue = np.split(self.queue, [self.settings.batch])
        return self.load(index)


def errors(outputs: tuple[Tensor, Tensor], wanted: list[Tensor]) -> list[Tensor]:
    """Mean squared error of each level, in whitened coordinates."""
    at4, at8 = (o.float() for o in outputs)
    split = wanted[1].shape[1]
    return [
        functional.mse_loss(at4, wanted[0]),
        functional.mse_loss(at8[:, :split], wanted[1]),
        functional.mse_loss(at8[:, split:], wanted[2]),
    ]


@torch.no_grad()
def validate(model: Student, batches: Batches) -> dict[str, float]:
    """Share of the whitened variance explained on held-out images, by level."""
    model.eval()
    lost, total = torch.zeros(3), torch.zeros(3)
    for start in range(0, HELD_OUT, 32):
        images, wanted = batches.load(np.arange(start, start + 32))
        lost += torch.stack(errors(model(images), wanted))
        total += torch.stack([w.square().mean() for w in wanted])
    model.train()
    explained = 1 - lost / total
    return {level: round(float(v), 4) for level, v in zip(targets.LEVELS, explained, strict=True)}


class Run:
    """A run's folder: model, optimiser, averaged weights, progress."""

    def __init__(self, folder: Path, shape: Shape, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        torch.manual_seed(settings.seed)
        self.model = Student(shape).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        inner = [
            layer
            for name, layer in self.model.named_modules()
            if isinstance(layer, nn.Conv2d) and name != "stem" and not name.startswith("head")
        ]
        moved = {id(layer.weight) for layer in inner}
        rest = [p for p in self.model.parameters() if id(p) not in moved]
        self.muon = Muon(inner, settings.muon)
        self.adam = torch.optim.AdamW(rest, settings.peak, weight_decay=settings.decay)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.progress: dict[str, Any] = {"step": 0, "seconds": 0.0, "history": []}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "run.json").exists():
            self._load()
        self.shape = shape

    def _load(self) -> None:
        kept = json.loads((self.folder / "run.json").read_text())
        self.progress = kept["progress"]
        tensors = load_file(self.folder / f"state-{self.progress['step']}.safetensors")
        self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        self.average = {k[8:]: v for k, v in tensors.items() if k.startswith("average.")}
        for prefix, optimiser in (("muon", self.muon), ("adam", self.adam)):
            state = optimiser.state_dict()
            state["state"] = {}
            for key, value in tensors.items():
                if key.startswith(f"{prefix}."):
                    _, index, name = key.split(".")
                    state["state"].setdefault(int(index), {})[name] = value
            optimiser.load_state_dict(state)

    def save(self) -> None:
        """Write the state, then the file that names it, then drop the older state."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for prefix, optimiser in (("muon", self.muon), ("adam", self.adam)):
            for i, state in optimiser.state_dict()["state"].items():
                tensors |= {f"{prefix}.{i}.{k}": v for k, v in state.items()}
        name = f"state-{self.progress['step']}.safetensors"
        save_file({k: v.contiguous() for k, v in tensors.items()}, self.folder / name)
        text = {
            "shape": asdict(self.shape),
            "settings": asdict(self.settings),
            "progress": self.progress,
        }
        partial = self.folder / "run.json.partial"
        partial.write_text(json.dumps(text, indent=1))
        os.replace(partial, self.folder / "run.json")
        for old in self.folder.glob("state-*.safetensors"):
            if old.name != name:
                old.unlink()

    def averaged(self) -> Student:
        """The model with the averaged weights."""
        model = Student(self.shape)
        model.load_state_dict(self.average)
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _set_rates(self) -> None:
        s, part = self.settings, self.progress["seconds"] / (self.settings.hours * 3600)
        rising = 0.02 + part / s.warmup
        falling = 0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * min(1.0, part)))
        for optimiser, peak in ((self.muon, s.muon), (self.adam, s.peak)):
            for group in optimiser.param_groups:
                group["lr"] = peak * min(rising, falling)

    def step(self, batches: Batches) -> list[float]:
        """One step of the optimiser; returns the error of each level."""
        self._set_rates()
        images, wanted = batches.next()
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = self.model(images)
        parts = errors(outputs, wanted)
        loss = sum(w * p for w, p in zip(self.settings.weights, parts, strict=True))
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.muon.step()
        self.adam.step()
        self.progress["step"] += 1
        keep = min(self.settings.average, 1 - 1 / (1 + self.progress["step"] / 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return [float(p.detach()) for p in parts]


def train(folder: Path, pool_folder: Path, shape: Shape, settings: Settings) -> None:
    """Train until the time budget is used; goes on from the last saved state."""
    while pools.count(pool_folder) < 4 * HELD_OUT:
        print("waiting for the pool", flush=True)
        time.sleep(10)
    run = Run(folder, shape, settings)
    whiten = targets.make(
        pools.open_pool(pool_folder), 2 * HELD_OUT, settings.floor, folder / "whitening.safetensors"
    )
    batches = Batches(pool_folder, whiten, settings)
    recent, began, saved = np.zeros(3), time.perf_counter(), time.perf_counter()
    while run.progress["seconds"] < settings.hours * 3600:
        recent += (
            (np.array(run.step(batches)) - recent) * 0.01 if recent.any() else run.step(batches)
        )
        now = time.perf_counter()
        run.progress["seconds"] += now - began
        began = now
        if (
            now - saved > settings.save_minutes * 60
            or run.progress["seconds"] >= settings.hours * 3600
        ):
            explained = validate(run.averaged(), batches)
            minutes = round(run.progress["seconds"] / 60, 1)
            step = run.progress["step"]
            run.progress["history"].append({"step": step, "minutes": minutes, **explained})
            run.save()
            held = pools.count(pool_folder)
            print(
                f"step {step}, {minutes} min, pool {held}, error {np.round(recent, 3)}, "
                f"explained {explained}",
                flush=True,
            )
            saved = began = time.perf_counter()
