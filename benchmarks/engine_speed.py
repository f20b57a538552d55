"""The shipped backbone on every engine: time of one image, and how far its features are from fp32.

    python benchmarks/engine_speed.py [--runs 40] [--threads 1]

Beside the median by the clock stands that of the processor (of all threads together): where the
machine does other work it is nearer to what an idle one takes.
``goodpart bench MODEL DATA --engine NAME`` times whole inspections.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from results import write_table

from goodpart.detectors.backbones import load_backbone
from goodpart.detectors.engine import ENGINES, Network


def main() -> None:
    """Print the table and keep it for the documentation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512])
    given = parser.parse_args()
    backbone = load_backbone("goodpart")
    rows = []
    for side in given.sizes:
        image = np.random.default_rng(0).uniform(0, 255, (1, 3, side, side)).astype(np.float32)
        exact: list[np.ndarray] = []
        for engine in ENGINES:
            network = Network(backbone.model_bytes, engine=engine, threads=given.threads)
            maps = [network(image) for _ in range(3)][-1]
            exact = exact or maps
            apart = max(
                float(np.abs(a - b).max() / np.abs(b).max())
                for a, b in zip(maps, exact, strict=True)
            )
            times, spent = [], []
            for _ in range(given.runs):
                begin, before = time.perf_counter(), time.process_time()
                network(image)
                times.append(1e3 * (time.perf_counter() - begin))
                spent.append(1e3 * (time.process_time() - before))
            wall, cpu = (f"{np.median(values):.1f}" for values in (times, spent))
            rows.append([f"{side}×{side}", engine, wall, cpu, f"{apart:.1e}"])
            print("  ".join(rows[-1]), flush=True)
    write_table(
        "engine_speed",
        title=f"Backbone {backbone.name}, one image, {given.threads} thread(s), milliseconds",
        columns=(
            "image",
            "engine",
            "p50",
            "of the processor",
            "features differ by, of their largest",
        ),
        rows=rows,
        command=f"python benchmarks/engine_speed.py --runs {given.runs} --threads {given.threads}",
    )


if __name__ == "__main__":
    main()
