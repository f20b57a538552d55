"""goodpart beside anomalib: the same images, the same machine, the same backbone weights.

Run with::

    python benchmarks/compare_anomalib.py DATA=folder WEIGHTS=mobilenetv2_100.tf_in1k.safetensors \\
        [WORK=compare] [THREADS=1,2] [SETS=casting,magnetic_tile,grid]

``DATA`` holds the data sets, ``WEIGHTS`` are timm's ``mobilenetv2_100``. The newest anomalib that
installs gets a virtual environment of its own in ``WORK``. Before anything is measured, one
image's feature maps are taken on both sides and must agree. Every cell of the table (program,
data set, threads) is kept in ``WORK/cells``: a run that was stopped goes on where it stood, and
``WORK`` removed starts anew. The table is written after every cell; anomalib's PatchCore, which
takes longest, comes last.

What is compared: both sides learn ``train/good`` alone and score ``test/`` one image at a time
from a file's bytes. anomalib sees 256×256 pixels, as it does by default, and so does goodpart
with the same weights; the last row is goodpart as it comes. goodpart's fit is the whole command,
with start, alignment and limits; anomalib's is its engine alone, without imports and threshold.
Beside the time by the clock stands that of the processor, which other work on the machine
disturbs less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from results import write_table

from goodpart import load
from goodpart.decision.metrics import auroc
from goodpart.detectors.backbones import load_backbone
from goodpart.parts.dataset import load_dataset

HERE = Path(__file__).parent
SETS = ("casting", "magnetic_tile", "grid")
SIDE = 256
# Largest difference of a feature, as a share of the map's largest, that is taken for the same.
SAME = 1e-3
WARM_UP = 5
PROGRAMS = {
    "anomalib-padim": "anomalib PaDiM (100 features), MobileNetV2, 256 px",
    "anomalib-patchcore": "anomalib PatchCore (1 %), MobileNetV2, 256 px",
    "goodpart-gaussian": "goodpart gaussian, MobileNetV2, 256 px",
    "goodpart-memory": "goodpart memory, MobileNetV2, 256 px",
    "goodpart-default": "goodpart as it comes",
}
SLOW = "anomalib-patchcore"
COLUMNS = (
    "data set",
    "program",
    "threads",
    "image AUROC",
    "fit, s per 100 images",
    "of the processor",
    "inspect, ms p50",
    "of the processor",
    "peak memory, fit",
    "inspect",
)


def environment(work: Path) -> tuple[Path, str]:
    """The interpreter of anomalib's own environment, made where it is missing, and its version."""
    folder = work / "anomalib"
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if not done.is_file():
        print(f"installing anomalib into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        # torch comes by constraint: without it pip takes a build with gigabytes for GPUs.
        constraints = str(HERE.parent / "constraints.txt")
        install = [str(python), "-m", "pip", "install", "-q", "-c", constraints, "anomalib"]
        subprocess.run(install, check=True)
        done.touch()
    ask = "import importlib.metadata as m; print(m.version('anomalib'), m.version('torch'))"
    found = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True)
    anomalib, torch = found.stdout.split()
    return python, f"anomalib {anomalib}, torch {torch}"


def timed(command: list[str], threads: int) -> dict[str, float]:
    """Run a command with so many threads; seconds by the clock, of the processor, and peak MiB."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOODPART_THREADS")
    values = {**os.environ, **{name: str(threads) for name in names}}
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=values, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"failed: {' '.join(command)}\n{log.read().decode(errors='replace')[-2000:]}")
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


class Anomalib:
    """anomalib's side: each step a process of its own in its environment."""

    def __init__(self, python: Path, weights: Path, work: Path) -> None:
        self._python, self._weights, self._work = python, weights, work

    def step(self, name: str, threads: int, **job: Any) -> tuple[dict[str, Any], dict[str, float]]:
        """Run a step of ``anomalib_cell.py``; what it answered and what the process cost."""
        self._work.mkdir(parents=True, exist_ok=True)
        file, answer = self._work / "job.json", self._work / "answer.json"
        whole = {"weights": str(self._weights), "threads": threads, "answer": str(answer), **job}
        file.write_text(json.dumps(whole), encoding="utf-8")
        cost = timed([str(self._python), str(HERE / "anomalib_cell.py"), name, str(file)], threads)
        return json.loads(answer.read_text(encoding="utf-8")), cost

    def check_features(self) -> float:
        """Largest difference between both sides' feature maps, as a share of their largest."""
        self._work.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:SIDE, :SIDE]
        plane = 128 + 60 * np.sin(x / 9) * np.cos(y / 13) + rng.normal(0, 12, (3, SIDE, SIDE))
        image = np.clip(plane, 0, 255).astype(np.float32)[None]
        np.save(self._work / "image.npy", image)
        maps = self._work / "maps.npz"
        self.step("features", 1, image=str(self._work / "image.npy"), maps=str(maps))
        theirs = np.load(maps)
        ours = load_backbone(str(self._weights)).session(threads=1)(image.transpose(0, 2, 3, 1))
        return max(
            float(np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max())
            for name in theirs.files
        )

    def cell(self, detector: str, data: Path, threads: int) -> dict[str, Any]:
        """Fit and inspect."""
        job = {"detector": detector, "data": str(data), "folder": str(self._work)}
        fit, fit_cost = self.step("fit", threads, **job)
        found, _ = self.step("inspect", threads, **job)
        scores, defective = np.array(found["scores"]), np.array(found["defective"])
        per_100 = 100 / fit["images"]
        return {
            "auroc": auroc(scores[~defective], scores[defective]),
            "fit": fit["fit_seconds"] * per_100,
            "fit_cpu": fit["fit_cpu_seconds"] * per_100,
            "inspect_ms": found["milliseconds_p50"],
            "inspect_cpu_ms": found["cpu_milliseconds_p50"],
            "fit_mib": fit_cost["peak_mib"],
            "inspect_mib": found["peak_mib"],
        }


class Goodpart:
    """goodpart's side: ``train`` as on the command line, and inspecting in another process."""

    def __init__(self, weights: Path, work: Path) -> None:
        self._weights, self._work = weights, work

    def cell(self, detector: str, data: Path, threads: int) -> dict[str, Any]:
        """Train and inspect."""
        self._work.mkdir(parents=True, exist_ok=True)
        model, answer = self._work / "model", self._work / "answer.json"
        train = ["train", str(data), "--out", str(model), "--force"]
        if detector != "default":
            train += ["--detector", detector]
            train += ["--set", f"backbone={self._weights}", "--set", f"resolution={SIDE}"]
        fit = timed([sys.executable, "-m", "goodpart", *train], threads)
        words = [__file__, "INSPECT", str(model), str(data), str(answer)]
        inspecting = timed([sys.executable, *words], threads)
        found = json.loads(answer.read_text(encoding="utf-8"))
        per_100 = 100 / len(list((data / "train" / "good").iterdir()))
        return {
            "auroc": found["auroc"],
            "fit": fit["seconds"] * per_100,
            "fit_cpu": fit["cpu_seconds"] * per_100,
            "inspect_ms": found["milliseconds_p50"],
            "inspect_cpu_ms": found["cpu_milliseconds_p50"],
            "fit_mib": fit["peak_mib"],
            "inspect_mib": inspecting["peak_mib"],
        }


def inspect(model: Path, data: Path, answer: Path) -> None:
    """Inspect every test image from the bytes of its file, one at a time; write what was found."""
    loaded = load(model)
    items = load_dataset(data).test()
    for item in items[:WARM_UP]:
        loaded.inspect(item.path.read_bytes())
    good: list[float] = []
    defective: list[float] = []
    seconds, spent = [], []
    for item in items:
        content = item.path.read_bytes()
        begin, before = time.perf_counter(), time.process_time()
        found = loaded.inspect(content)
        seconds.append(time.perf_counter() - begin)
        spent.append(time.process_time() - before)
        if found.score is None:
            sys.exit(f"{item.path}: {found.message}")
        (good if item.good else defective).append(found.score)
    figures = {
        "auroc": auroc(good, defective),
        "milliseconds_p50": 1e3 * float(np.median(seconds)),
        "cpu_milliseconds_p50": 1e3 * float(np.median(spent)),
    }
    answer.write_text(json.dumps(figures), encoding="utf-8")


def kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A cell from an earlier run, or measured and kept."""
    if not path.is_file():
        found = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found), encoding="utf-8")
        temporary.replace(path)
    return json.loads(path.read_text(encoding="utf-8"))


def row(name: str, program: str, threads: int, cell: dict[str, Any]) -> list[str]:
    """A row of the table."""
    return [
        name,
        PROGRAMS[program],
        str(threads),
        f"{cell['auroc']:.4f}",
        f"{cell['fit']:.1f}",
        f"{cell['fit_cpu']:.1f}",
        f"{cell['inspect_ms']:.1f}",
        f"{cell['inspect_cpu_ms']:.1f}",
        f"{cell['fit_mib']:.0f} MiB",
        f"{cell['inspect_mib']:.0f} MiB",
    ]


def main() -> None:
    """Measure what is missing, print the table and keep it for the documentation."""
    if sys.argv[1:2] == ["INSPECT"]:
        inspect(*(Path(word) for word in sys.argv[2:]))
        return
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if not {"DATA", "WEIGHTS"} <= set(options):
        sys.exit("usage: python benchmarks/compare_anomalib.py DATA=folder WEIGHTS=file [...]")
    data, weights = Path(options["DATA"]).resolve(), Path(options["WEIGHTS"]).resolve()
    work = Path(options.get("WORK", "compare")).resolve()
    python, versions = environment(work)
    theirs, ours = Anomalib(python, weights, work / "theirs"), Goodpart(weights, work / "ours")
    apart = theirs.check_features()
    print(f"{versions}; feature maps differ by at most {apart:.1e} of their largest", flush=True)
    if apart > SAME:
        sys.exit("the two sides do not run the same network: nothing is compared")
    sides: dict[str, Any] = {"anomalib": theirs, "goodpart": ours}
    counts = [int(count) for count in options.get("THREADS", "1,2").split(",")]
    names = options.get("SETS", ",".join(SETS)).split(",")
    wanted = [(t, n, p) for t in counts for n in names for p in PROGRAMS]
    rows: dict[tuple[int, str, str], list[str]] = {}
    for threads, name, program in sorted(wanted, key=lambda cell: cell[2] == SLOW):
        side, detector = program.split("-")
        cell = kept(
            work / "cells" / f"{program}-{name}-{threads}.json",
            lambda s=side, d=detector, n=name, t=threads: sides[s].cell(d, data / n, t),
        )
        rows[threads, name, program] = row(name, program, threads, cell)
        print("  ".join(rows[threads, name, program]), flush=True)
        write_table(
            "compare_anomalib",
            title=f"goodpart beside {versions}; feature maps agree to {apart:.0e}",
            columns=COLUMNS,
            rows=[rows[key] for key in wanted if key in rows],
            command="python benchmarks/compare_anomalib.py DATA=data "
            f"WEIGHTS={weights.name} THREADS={options.get('THREADS', '1,2')}",
        )


if __name__ == "__main__":
    main()
