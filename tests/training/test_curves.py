from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

pytest.importorskip("torch")

from goodpart.training.curves import LiveCurves, curve_files

HISTORY = [
    {"epoch": 1.0, "step": 4.0, "train/loss": 2.0, "validation/loss": 2.5, "seconds": 1.0},
    {"epoch": 2.0, "step": 8.0, "train/loss": 1.0, "validation/loss": 1.5, "seconds": 2.0},
]


def events(folder: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


def test_curves_come_as_tables_a_picture_and_events(tmp_path: Path) -> None:
    files = curve_files(HISTORY, title="loss", best_epoch=2)
    rows = list(csv.DictReader(io.StringIO(files["curves.csv"].decode())))
    assert [float(row["train/loss"]) for row in rows] == [2.0, 1.0]
    assert json.loads(files["curves.json"]) == HISTORY
    assert files["curves.png"].startswith(b"\x89PNG")
    (tmp_path / "events.out.tfevents").write_bytes(files["events.out.tfevents"])
    assert events(tmp_path, "validation/loss") == [(4, 2.5), (8, 1.5)]


def test_events_after_the_last_finished_epoch_are_purged_on_resuming(tmp_path: Path) -> None:
    with LiveCurves(tmp_path) as curves:
        for row in HISTORY:
            curves.add(row)
    with LiveCurves(tmp_path, HISTORY[:1]) as curves:
        curves.add({**HISTORY[1], "train/loss": 0.9})
    assert [value for _, value in events(tmp_path, "train/loss")] == pytest.approx([2.0, 0.9])
