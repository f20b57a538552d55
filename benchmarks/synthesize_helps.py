"""Do generated images help a detector? Without, with, and against plain augmentation.

Run with::

    python benchmarks/synthesize_helps.py DATA=casting [COUNTS=20,105] [SEEDS=0,1,2] \
        [DETECTORS=gaussian,autoencoder] [MINUTES=4] [EPOCHS=12] [SIZE=128] [WORK=folder]

``DATA`` is a data folder in the benchmark layout. For every number of real good images and seed
(which also chooses the images) a detector learns from them in three ways:

- *real*: from them alone;
- *generated*: from them and four generated images for each, by the CPU preset with ``EPOCHS``
  epochs of 50 steps;
- *augmented*: from them and their quarter turns with and without noise, for as many minutes as
  the generator and the detector of *generated* had together. (``gaussian`` looks at each
  image once, whatever time it is given.)

``MINUTES`` bounds a training of the autoencoder. Each finished step is kept in ``WORK``: stopped
and called again, it goes on from there; one that failed says so in its note there, and is tried
again when the note is deleted. Figures are the image AUROC on ``test/``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from processes import run
from results import write_table

WAYS = ("real", "generated", "augmented")
FOR_EACH = 4
SHOWN = ("COUNTS", "SEEDS", "DETECTORS", "MINUTES", "EPOCHS")
NETWORKS = 2  # of the autoencoder: its max_minutes are of each


def real_images(data: Path, count: int, seed: int, work: Path) -> Path:
    """A data folder with some of the good training images."""
    folder = work / f"real-{count}-{seed}"
    if not folder.is_dir():
        files = sorted((data / "train" / "good").iterdir())
        if len(files) < count:
            sys.exit(f"{data}: {len(files)} good training images, {count} are asked for")
        chosen = np.random.default_rng(seed).permutation(len(files))[:count]
        unfinished = work / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        (unfinished / "train" / "good").mkdir(parents=True)
        for index in chosen:
            shutil.copy2(files[index], unfinished / "train" / "good")
        os.replace(unfinished, folder)
    return folder


def step(note: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a step unless an earlier call finished it."""
    if not note.is_file():
        try:
            found: dict[str, Any] = dict(run(arguments))
        except SystemExit as error:
            found = {"failed": str(error)}
        note.write_text(json.dumps(found, indent=1), encoding="utf-8")
    kept: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    return kept


def cell(
    given: dict[str, str], work: Path, count: int, seed: int, detector: str, way: str
) -> dict[str, Any]:
    """Train and evaluate one detector in one way; ``auroc`` is missing where a step failed."""
    data, minutes = Path(given["DATA"]), float(given["MINUTES"])
    real = real_images(data, count, seed, work)
    learned, extra = real, []
    drawn = work / f"generated-{count}-{seed}"
    if way == "generated":
        wanted = ["synthesize", str(real), str(drawn), "--count", str(FOR_EACH * count)]
        wanted += ["--seed", str(seed), "--set", f"epochs={given['EPOCHS']}", "--force"]
        wanted += ["--set", "max_minutes=60"]
        done = step(work / f"{drawn.name}.json", wanted)
        if "failed" in done:
            return done
        extra = ["--with-generated", str(drawn)]
    elif way == "augmented":
        learned = work / f"augmented-{count}-{seed}"
        done = step(
            work / f"{learned.name}.json",
            ["augment", str(real), str(learned), "--seed", str(seed), "--force"],
        )
        if "failed" in done:
            return done
        minutes += generator_minutes(drawn)
    model = work / f"model-{count}-{seed}-{detector}-{way}"
    arguments = ["train", str(learned), "--out", str(model), "--force", *extra]
    arguments += ["--set", f"part.size=[{given['SIZE']}, {given['SIZE']}]"]
    arguments += ["--set", f"seed={seed}"]
    arguments += ["--detector", detector]
    if detector == "autoencoder":
        arguments += ["--set", f"max_minutes={minutes / NETWORKS}"]
    cost = step(work / f"{model.name}.json", arguments)
    if "failed" in cost:
        return cost
    answer = work / f"{model.name}.evaluation.json"
    if not answer.is_file():
        unfinished = answer.with_name(f"unfinished-{answer.name}")
        run(["evaluate", str(model), str(data), "--json", str(unfinished)])
        os.replace(unfinished, answer)
    figures = json.loads(answer.read_text(encoding="utf-8"))
    return {"auroc": figures["image_auroc"], "seconds": cost["seconds"]}


def generator_minutes(drawn: Path) -> float:
    """What the generator's training took; none, where the gate kept nothing."""
    summary = drawn / "synthesis.json"
    if not summary.is_file():
        return 0.0
    found = json.loads(summary.read_text(encoding="utf-8"))
    return float(found["generator"]["training"]["seconds"]) / 60


def spread(cells: list[dict[str, Any]]) -> str:
    """Mean, standard deviation and number of seeds; failures are counted, not left out."""
    found = [one["auroc"] for one in cells if "auroc" in one]
    failed = len(cells) - len(found)
    note = f", {failed} failed" if failed else ""
    if not found:
        return f"–{note}"
    deviation = f" ± {np.std(found, ddof=1):.3f}" if len(found) > 1 else ""
    return f"{np.mean(found):.3f}{deviation} ({len(found)}{note})"


def main() -> None:
    given = {
        "COUNTS": "20,105",
        "SEEDS": "0,1,2",
        "DETECTORS": "gaussian,autoencoder",
        "MINUTES": "4",
        "EPOCHS": "12",
        "SIZE": "128",
        "WORK": "synthesize-benchmark",
    }
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: a data folder in the benchmark layout, such as casting")
    work = Path(given["WORK"])
    work.mkdir(parents=True, exist_ok=True)
    seeds = [int(text) for text in given["SEEDS"].split(",")]
    counts = [int(text) for text in given["COUNTS"].split(",")]
    rows = list(product(counts, given["DETECTORS"].split(",")))
    cells: dict[tuple[int, str, str], list[dict[str, Any]]] = defaultdict(list)
    for seed, (count, detector), way in product(seeds, rows, WAYS):
        cells[count, detector, way].append(cell(given, work, count, seed, detector, way))
        print(count, detector, seed, way, cells[count, detector, way][-1], flush=True)
        shown = " ".join(f"{key}={given[key]}" for key in SHOWN)
        write_table(
            "synthesize_helps",
            title=f"Image AUROC on {Path(given['DATA']).name} at {given['SIZE']} pixels: mean, "
            "standard deviation over the seeds, and how many seeds there are",
            columns=("real images", "detector", *WAYS),
            rows=[[str(c), d, *(spread(cells[c, d, way]) for way in WAYS)] for c, d in rows],
            command=f"python benchmarks/synthesize_helps.py DATA=casting {shown}",
        )


if __name__ == "__main__":
    main()
