"""Learning curves: to TensorBoard while training; as CSV, JSON, PNG and events for the model."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Row = dict[str, float]

_POSITION = ("epoch", "step", "seconds")


class LiveCurves:
    """Writes TensorBoard events while training goes on: ``tensorboard --logdir FOLDER``.

    Parameters
    ----------
    folder : Path
    history : sequence of rows
        Epochs that are done already: events after them, of an interrupted run, are purged.
    """

    def __init__(self, folder: Path, history: Sequence[Row] = ()) -> None:
        self._folder = folder
        self._purge = int(history[-1]["step"]) + 1 if history else None
        self._writer: Any = None

    def __enter__(self) -> Self:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=self._purge)
        return self

    def add(self, row: Row) -> None:
        """One epoch."""
        for name, value in row.items():
            if name not in _POSITION:
                self._writer.add_scalar(name, value, int(row["step"]))
        self._writer.flush()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def curve_files(history: Sequence[Row], *, title: str, best_epoch: int = 0) -> dict[str, bytes]:
    """The curves as files for a model folder.

    Parameters
    ----------
    history : sequence of rows
        See :class:`goodpart.training.loop.Outcome`.
    title : str
    best_epoch : int
        Marked in the picture; 0: none.

    Returns
    -------
    dict of str to bytes
        ``curves.csv``, ``curves.json``, ``curves.png``, ``events.out.tfevents``.
    """
    return {
        "curves.csv": curves_csv(history),
        "curves.json": (json.dumps(list(history), indent=1) + "\n").encode(),
        "curves.png": curves_png(history, title=title, best_epoch=best_epoch),
        "events.out.tfevents": curves_events(history),
    }


def curves_csv(history: Sequence[Row]) -> bytes:
    """One line for each epoch; figures that an epoch lacks stay empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue().encode()


def curves_png(history: Sequence[Row], *, title: str, best_epoch: int = 0) -> bytes:
    """Losses over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, style in (("train/loss", "-"), ("validation/loss", "--")):
        points = [(row["epoch"], row[name]) for row in history if name in row]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=name.replace("/", " "))
    if best_epoch:
        axes.axvline(best_epoch, color="0.7", linewidth=1, label=f"best: epoch {best_epoch}")
    positive = all(row[n] > 0 for row in history for n in row if n.endswith("/loss"))
    axes.set(xlabel="epoch", ylabel="loss", title=title, yscale="log" if positive else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def curves_events(history: Sequence[Row]) -> bytes:
    """The same as a TensorBoard event file."""
    with tempfile.TemporaryDirectory() as folder:
        with LiveCurves(Path(folder)) as curves:
            for row in history:
                curves.add(row)
        (file,) = Path(folder).iterdir()
        return file.read_bytes()
