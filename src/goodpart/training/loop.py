"""The training loop: epochs, validation, early stop, checkpoints, resume, curves, a time budget.

What is trained is a :class:`~goodpart.training.task.Task`; everything else about a training is in
:class:`Schedule`. On one machine the same seed, data and number of threads give the same weights,
and a training that was interrupted ends like one that was not.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.optim import Optimizer

from goodpart.errors import RecipeError, TrainingError
from goodpart.progress import Progress, silent
from goodpart.training.checkpoint import load_checkpoint, read_position, save_checkpoint
from goodpart.training.curves import LiveCurves
from goodpart.training.task import Task

LAST = "last.safetensors"
BEST = "best.safetensors"

Precision = Literal["auto", "32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Schedule:
    """How long to train, and how.

    Parameters
    ----------
    epochs : int
    rate : "constant" or "cosine"
        Course of the learning rate: as the optimizer has it, or falling to 1 % along a cosine.
    warmup : int
        Steps over which the rate first rises from zero.
    patience : int, optional
        Stop after this many epochs without a better validation figure.
    monitor : str
        The validation figure that counts; smaller is better.
    keep : "best" or "last"
        Which weights the task has at the end. Without validation figures, the last ones.
    max_minutes : float, optional
        Stop after this time, whatever was reached.
    precision : "auto", "32-true" or "bf16-mixed"
        auto: bfloat16 where the processor computes with it.
    """

    epochs: int
    rate: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    patience: int | None = None
    monitor: str = "loss"
    keep: Literal["best", "last"] = "best"
    max_minutes: float | None = None
    precision: Precision = "auto"


@dataclass
class Outcome:
    """What came of a training.

    Parameters
    ----------
    history : list of dict
        One row for each epoch: ``epoch``, ``step``, ``seconds`` (since the start, interruptions
        left out), ``rate``, and the figures as ``train/loss``, ``validation/loss``, ...
    best_epoch : int
        Of the smallest monitored figure; the last where nothing is validated.
    stopped : "epochs", "patience" or "time"
        What ended it.
    resumed_from : int
        The epoch after which an interrupted training went on; 0: from the start.
    precision : str
        What was really used.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: Literal["epochs", "patience", "time"] = "epochs"
    resumed_from: int = 0
    precision: str = "32-true"

    @property
    def seconds(self) -> float:
        """Time that training took, interruptions left out."""
        return self.history[-1]["seconds"] if self.history else 0.0


def choose_precision(wanted: Precision) -> str:
    """Resolve ``"auto"``: bfloat16 on processors with instructions for it, else 32 bit.

    ``benchmarks/training_precision.py`` measures what that gains; without such instructions it
    would be slower.
    """
    if wanted != "auto":
        return wanted
    supported = bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16-mixed" if supported or torch.cuda.is_available() else "32-true"


def start(
    precision: Precision = "auto",
    *,
    accelerator: str = "auto",
    devices: int | Literal["auto"] = 1,
) -> Fabric:
    """What a training runs on; with several devices, one process for each of them begins here.

    Further processes run the program from its beginning, as Lightning starts them (or torchrun
    has started them all): each comes to this call with the same task and the same data. A program
    lets those whose ``global_rank`` is not 0 end after :func:`train`; they write nothing.

    Parameters
    ----------
    precision : "auto", "32-true" or "bf16-mixed"
    accelerator : str
        As Fabric calls it: ``"cpu"``, ``"cuda"``; auto: a GPU where there is one.
    devices : int or "auto"
        How many; auto: all there are.

    Raises
    ------
    RecipeError
        There are no such devices.
    """
    # What precision is used is told in the outcome; Fabric would print it for each network.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    chosen: Any = choose_precision(precision)
    strategy = "auto" if devices == 1 else "ddp"
    try:
        fabric = Fabric(
            accelerator=accelerator, devices=devices, strategy=strategy, precision=chosen
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        raise RecipeError(f"accelerator={accelerator}, devices={devices}: {text}") from None
    fabric.launch()
    return fabric


def train(
    task: Task,
    schedule: Schedule,
    *,
    folder: Path,
    belongs_to: str,
    seed: int = 0,
    stage: str = "epoch",
    progress: Progress | None = None,
    accelerator: str = "auto",
    fabric: Fabric | None = None,
) -> Outcome:
    """Train a task; interrupted, the same call goes on from the last finished epoch.

    Parameters
    ----------
    task : Task
        Its modules hold the trained weights afterwards, in evaluation mode, on the CPU.
    schedule : Schedule
    folder : Path
        For ``last.safetensors``, ``best.safetensors`` and the TensorBoard events.
    belongs_to : str
        See :func:`goodpart.training.checkpoint.fingerprint`. Checkpoints of another training that
        lie in the folder are overwritten.
    seed : int
    stage : str
        First word of what progress is told.
    progress : callable, optional
        Told ``"<stage> 3/30 loss 0.0123"`` with steps done and in total.
    accelerator : str
        See :func:`start`.
    fabric : Fabric, optional
        What :func:`start` gave, for several devices; by default one device is taken.

    Raises
    ------
    TrainingError
        The loss is not a finite number.
    """
    fabric = fabric or start(schedule.precision, accelerator=accelerator)
    modules, optimizers = dict(task.modules), dict(task.optimizers)
    loop = _Loop(task, schedule, fabric, folder, belongs_to, seed, stage, progress or silent)
    loop.outcome.precision = choose_precision(schedule.precision)
    with torch.random.fork_rng():
        loop.run(modules, optimizers)
    for module in modules.values():
        module.cpu().eval()
    task.modules, task.optimizers = modules, optimizers
    return loop.outcome


class _Loop:
    """One run of :func:`train`."""

    def __init__(
        self,
        task: Task,
        schedule: Schedule,
        fabric: Fabric,
        folder: Path,
        belongs_to: str,
        seed: int,
        stage: str,
        progress: Progress,
    ) -> None:
        self.task, self.schedule, self.fabric = task, schedule, fabric
        self.folder, self.belongs_to, self.seed = folder, belongs_to, seed
        self.stage, self.progress = stage, progress
        self.outcome = Outcome()
        self.best = math.inf
        self.finished = False

    def run(self, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]) -> None:
        """From the first or the last finished epoch to the end."""
        self.modules, self.optimizers = modules, optimizers
        # Before resuming: a checkpoint holds the rates as they were scaled at its step.
        self.rates = {k: [g["lr"] for g in o.param_groups] for k, o in optimizers.items()}
        self._resume()
        self.task.modules = {k: self._set_up(m) for k, m in modules.items()}
        self.task.optimizers = {k: self.fabric.setup_optimizers(o) for k, o in optimizers.items()}  # type: ignore[misc]
        self.begin = time.perf_counter() - self.outcome.seconds
        if not self.finished:
            with self._curves() as curves:
                for epoch in range(len(self.outcome.history) + 1, self.schedule.epochs + 1):
                    row = self._epoch(epoch)
                    if curves is not None:
                        curves.add(row)
                    if self._conclude(epoch, row):
                        break
        if self.schedule.keep == "best" and (self.folder / BEST).is_file():
            load_checkpoint(self.folder / BEST, modules)

    def _set_up(self, module: nn.Module) -> nn.Module:
        """On the device, and together with the other processes where there is anything to learn."""
        if any(weight.requires_grad for weight in module.parameters()):
            return self.fabric.setup_module(module)
        return self.fabric.to_device(module)

    def _curves(self) -> AbstractContextManager[LiveCurves | None]:
        """The first process alone writes."""
        if not self.fabric.is_global_zero:
            return nullcontext()
        return LiveCurves(self.folder / "tensorboard", self.outcome.history)

    def _resume(self) -> None:
        position = read_position(self.folder / LAST, belongs_to=self.belongs_to)
        if position is None:
            # Whatever lies here belongs to another training: a later resume must not take it.
            if self.fabric.is_global_zero:
                (self.folder / LAST).unlink(missing_ok=True)
                (self.folder / BEST).unlink(missing_ok=True)
            return
        load_checkpoint(self.folder / LAST, self.modules, self.optimizers)
        self.outcome.history = position["history"]
        self.outcome.best_epoch = position["best_epoch"]
        self.outcome.stopped = position["stopped"]
        self.outcome.resumed_from = len(self.outcome.history)
        self.best = position["best"] if position["best"] is not None else math.inf
        # A longer schedule takes a training further that had only run out of epochs.
        self.finished = position["finished"]

    def _epoch(self, epoch: int) -> dict[str, float]:
        # Each process has noise of its own; the order of the images is common to all.
        rank = [self.fabric.global_rank] if self.fabric.global_rank else []
        entropy = np.random.SeedSequence([self.seed, epoch, *rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))
        rng = np.random.default_rng([self.seed, epoch])
        per_epoch = self.task.steps_per_epoch
        total = per_epoch * self.schedule.epochs
        sums: dict[str, float] = {}
        for module in self.task.modules.values():
            module.train()
        done = 0
        for done, batch in enumerate(self.task.batches(epoch, rng), start=1):
            step = (epoch - 1) * per_epoch + done
            self._set_rates(step, total)
            for name, value in self.task.step(batch, self.fabric).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            loss = sums["loss"] / done
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the loss is no longer a finite number in epoch {epoch}; "
                    "lower the learning rate or train in 32 bit (--set precision=32-true)"
                )
            self.progress(
                f"{self.stage} {epoch}/{self.schedule.epochs} loss {loss:.4f}", step, total
            )
            if self._out_of_time():
                break
        row = {"epoch": float(epoch), "step": float((epoch - 1) * per_epoch + done)}
        row["rate"] = next(iter(self.optimizers.values())).param_groups[0]["lr"]
        row.update({f"train/{name}": value / done for name, value in sums.items()})
        row.update({f"validation/{name}": value for name, value in self._validate().items()})
        row["seconds"] = round(time.perf_counter() - self.begin, 3)
        return row

    def _validate(self) -> dict[str, float]:
        for module in self.task.modules.values():
            module.eval()
        with torch.no_grad():
            return self.task.validate()

    def _set_rates(self, step: int, total: int) -> None:
        factor = rate_factor(step, total, self.schedule.rate, self.schedule.warmup)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * factor

    def _conclude(self, epoch: int, row: dict[str, float]) -> bool:
        """Book the epoch, write checkpoints, say whether training ends."""
        outcome, schedule = self.outcome, self.schedule
        outcome.history.append(row)
        figure = row.get(f"validation/{schedule.monitor}")
        better = figure is None or figure < self.best
        if better:
            outcome.best_epoch = epoch
            self.best = math.inf if figure is None else figure
        if self._out_of_time():
            outcome.stopped = "time"
        elif schedule.patience is not None and epoch - outcome.best_epoch >= schedule.patience:
            outcome.stopped = "patience"
        self.finished = outcome.stopped != "epochs" or epoch == schedule.epochs
        position: dict[str, Any] = {
            "history": outcome.history,
            "best_epoch": outcome.best_epoch,
            "best": None if math.isinf(self.best) else self.best,
            "stopped": outcome.stopped,
            "finished": self.finished,
        }
        if not self.fabric.is_global_zero:
            return self.finished
        if better and schedule.keep == "best":
            save_checkpoint(
                self.folder / BEST, self.modules, {}, position, belongs_to=self.belongs_to
            )
        save_checkpoint(
            self.folder / LAST, self.modules, self.optimizers, position, belongs_to=self.belongs_to
        )
        return self.finished

    def _out_of_time(self) -> bool:
        budget = self.schedule.max_minutes
        if budget is None:
            return False
        over = time.perf_counter() - self.begin >= budget * 60
        # Processes that do not agree would wait for each other for ever.
        return self.fabric.broadcast(over) if self.fabric.world_size > 1 else over


def rate_factor(step: int, total: int, rate: str, warmup: int) -> float:
    """What the learning rate is multiplied by at a step (counted from 1)."""
    factor = min(1.0, step / warmup) if warmup > 0 else 1.0
    if rate == "cosine":
        factor *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - 1) / max(1, total))))
    return factor
