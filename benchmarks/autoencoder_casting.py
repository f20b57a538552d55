"""What the autoencoder is worth, and what it costs: both presets on three data sets.

Run with::

    python benchmarks/autoencoder_casting.py DATA=../shared/data [RUNS=casting:restore,...] \
        [WORK=folder] [NOTE="load average 0.1"]

``DATA`` is the folder that holds the data sets. A run is ``set:preset`` or ``set:preset:epochs``.
Models and figures are kept in ``WORK``: stopped and called again, finished steps are not repeated.
Each step is a process of its own, as on the command line, so that its peak memory is its own.
``NOTE`` stands beside the table's title: what else kept the machine busy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from processes import run
from results import write_table

import goodpart

RUNS = (
    "casting:restore",
    "magnetic_tile:restore",
    "grid:restore",
    "casting:seed",
    "magnetic_tile:seed:5",
    "grid:seed:5",
)
TITLE = "The autoencoder: trained from nothing on good images alone"
COLUMNS = (
    "data set",
    "preset",
    "image AUROC",
    "pixel AUROC",
    "AUPRO",
    "overkill",
    "escape",
    "training",
    "s/image p50",
    "p95",
    "peak memory",
)


def measure(data: Path, name: str, preset: str, epochs: str | None, work: Path) -> dict[str, Any]:
    """Train and evaluate, or take what an earlier call left."""
    label = "-".join(part for part in (name, preset, epochs) if part)
    model, figures = work / label, work / f"{label}.json"
    costs, judging = work / f"{label}.cost.json", work / f"{label}.judging.json"
    if not costs.is_file():
        arguments = ["train", str(data / name), "--out", str(model), "--detector", "autoencoder"]
        arguments += ["--set", f"preset={preset}"]
        arguments += ["--set", f"epochs={epochs}"] if epochs else []
        cost = run([*arguments, "--force"])
        costs.write_text(json.dumps(cost), encoding="utf-8")
    if not judging.is_file():
        cost = run(["evaluate", str(model), str(data / name), "--json", str(figures)])
        judging.write_text(json.dumps(cost), encoding="utf-8")
    found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    found["training"] = json.loads(costs.read_text(encoding="utf-8"))
    found["judging"] = json.loads(judging.read_text(encoding="utf-8"))
    trainings = goodpart.load(model).detector.state().values["trainings"]
    found["precision"] = "bfloat16" if trainings[0]["precision"] == "bf16-mixed" else "32 bit"
    return found


def row(name: str, preset: str, epochs: str | None, found: dict[str, Any]) -> list[str]:
    """Cells as they are to be read."""

    def figure(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    def share(rate: dict[str, Any]) -> str:
        return "–" if rate["rate"] is None else f"{rate['rate']:.1%} ({rate['count']}/{rate['n']})"

    training, seconds = found["training"], found["seconds_per_image"]
    return [
        name,
        f"{preset}, {epochs} epochs" if epochs else preset,
        figure(found["image_auroc"]),
        figure(found["pixel_auroc"]),
        figure(found["aupro"]),
        share(found["overkill"]),
        share(found["escape"]),
        f"{training['seconds']:.0f} s ({training['cpu_seconds']:.0f} s processor), "
        f"{found['precision']}",
        f"{seconds['p50']:.3f}",
        f"{seconds['p95']:.3f}",
        f"{training['peak_mib']:.0f} MiB train, {found['judging']['peak_mib']:.0f} MiB judge",
    ]


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: the one that holds casting, magnetic_tile and grid")
    work = Path(given.get("WORK", "autoencoder-benchmark"))
    work.mkdir(parents=True, exist_ok=True)
    runs = given["RUNS"].split(",") if "RUNS" in given else RUNS
    rows = []
    for text in runs:
        name, preset, epochs = (*text.split(":"), None)[:3]
        found = measure(Path(given["DATA"]), str(name), str(preset), epochs, work)
        rows.append(row(str(name), str(preset), epochs, found))
        print("  ".join(rows[-1]), flush=True)
        # Written after every run: the long ones may be stopped.
        write_table(
            "autoencoder_casting",
            title=f"{TITLE}; {given['NOTE']}" if "NOTE" in given else TITLE,
            columns=COLUMNS,
            rows=rows,
            command="python benchmarks/autoencoder_casting.py DATA=folder of the data sets",
        )


if __name__ == "__main__":
    main()
