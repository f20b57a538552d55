"""How long one inspection takes to be recorded: the commit, and the pictures apart.

python benchmarks/record_inspections.py [--database URL] [--count N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from goodpart.decision import Inspection, Limits, Region, Verdict
from goodpart.records import Message, Records


def main() -> None:
    """Record inspections of 512 x 512 colour parts and print the times of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="default: a new SQLite file in the folder")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where to write; default: a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        url = options.database or f"sqlite:///{folder / 'line.db'}"
        with Records.open(url, station="benchmark", images=folder / "images") as records:
            measure(records, folder, options.count)


def measure(records: Records, folder: Path, count: int) -> None:
    """Time each step for every inspection; the bare disk in turn with them, under equal load."""
    random = np.random.default_rng(0)
    base = random.normal(120, 8, (512, 512, 3))
    times: dict[str, list[float]] = {"encode": [], "write": [], "record": [], "disk sync": []}
    run = f"{time.time_ns()}"
    with open(folder / "probe", "wb") as probe:
        for number in range(count):
            image = np.clip(base + random.normal(0, 2), 0, 255).astype(np.uint8)
            raw_map = random.random((64, 64)).astype(np.float32)
            given = inspection(f"{run}_{number}", image, raw_map)
            message = Message("webhook", given.id, given.to_dict())
            start = time.perf_counter()
            encoded = records.images.encode(given)
            after_encoding = time.perf_counter()
            records.images.write(encoded)
            after_writing = time.perf_counter()
            records.record(
                [given], arrival=given.part, kept={given.id: encoded.kept}, outputs=[message]
            )
            after_recording = time.perf_counter()
            probe.write(bytes(8192))
            probe.flush()
            os.fdatasync(probe.fileno())
            end = time.perf_counter()
            times["encode"].append(after_encoding - start)
            times["write"].append(after_writing - after_encoding)
            times["record"].append(after_recording - after_writing)
            times["disk sync"].append(end - after_recording)
    for step, values in times.items():
        percentiles = statistics.quantiles([value * 1e3 for value in values], n=100)
        print(f"{step:<10} p50 {percentiles[49]:6.2f} ms   p95 {percentiles[94]:6.2f} ms")


def inspection(part: str, image: np.ndarray, raw_map: np.ndarray) -> Inspection:
    """An NG part with one region."""
    region = Region(10, 20, 30, 40, 800, 2.5, 1.75, ((10, 20), (40, 20), (40, 60), (10, 60)))
    return Inspection(
        Verdict.NG,
        source=f"{part}.png",
        part=part,
        score=2.5,
        limits=Limits(1.0, 1.5),
        regions=(region,),
        image=image,
        raw_map=raw_map,
        transform=np.eye(3),
        sha256="ab" * 32,
        timings={"decode": 5.0, "locate": 4.0, "score": 12.0, "decide": 1.0, "total": 22.0},
    )


if __name__ == "__main__":
    main()
