"""Sustained rate and memory: images keep coming as fast as the watcher takes them.

python benchmarks/watch_rate.py --seconds 600
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from results import write_table
from watch_common import Line, detector_of, encoded, make_model, others_load, report

AHEAD = 20
"""How many images wait in the inbox or are claimed."""
WARM_UP = 60.0
"""Seconds in which caches fill: that is no growth, and a short run would show little else."""


def measure(
    root: Path, *, detector: str | None, side: int, seconds: float, model: Path | None = None
) -> dict[str, Any]:
    """Run it."""
    model = model or make_model(root / "model", detector=detector, side=side)
    line = Line(root, model)
    images = [encoded(seed, side=side, defect=seed % 5 == 0) for seed in range(50)]
    line.start()
    line.running()
    start = time.monotonic()
    first_sample = max(seconds / 10, min(WARM_UP, seconds / 2))
    dropped, samples, next_sample = 0, [], start + first_sample
    counts = []
    while (now := time.monotonic()) < start + seconds:
        waiting = sum(1 for _ in line.inbox.iterdir())
        waiting += sum(1 for _ in (line.inbox / ".goodpart" / "claimed").iterdir())
        for _ in range(AHEAD - waiting):
            line.drop(f"part{dropped:07d}.png", images[dropped % len(images)])
            dropped += 1
        if now >= next_sample:
            samples.append(line.memory())
            counts.append((now - start, line.health()["arrivals"]))
            next_sample = now + max(0.5, seconds / 120)
        time.sleep(0.02)
    health = line.health()
    status = line.stop()
    tenth = max(1, len(samples) // 10)
    first, last = float(np.mean(samples[:tenth])), float(np.mean(samples[-tenth:]))
    (t0, n0), (t1, n1) = counts[0], counts[-1]
    return {
        "side": side,
        "detector": detector_of(model),
        "seconds": seconds,
        "images": n1,
        "images_per_second": round((n1 - n0) / (t1 - t0), 1),
        "latency_ms": {k: v["p50"] for k, v in health["latency_ms"].items()},
        "memory_mib": {"after a tenth": round(first, 1), "at the end": round(last, 1)},
        "memory_growth": round(last / first - 1, 4),
        "exit_status": status,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--detector", help="default: the default detector")
    parser.add_argument("--model", type=Path, help="a model folder; default: one is trained")
    parser.add_argument("--table", action="store_true", help="write the documentation's table")
    arguments = parser.parse_args()
    load = others_load()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            Path(folder),
            detector=arguments.detector,
            side=arguments.side,
            seconds=arguments.seconds,
            model=arguments.model,
        )
    report(figures)
    if arguments.table:
        memory = figures["memory_mib"]
        write_table(
            "watch_rate",
            title=f"Sustained rate, {figures['side']}×{figures['side']} pixels, "
            f"{figures['detector']} detector",
            columns=["", "figure"],
            rows=[
                ["minutes", f"{figures['seconds'] / 60:g}"],
                ["images", f"{figures['images']:,}"],
                ["images per second", str(figures["images_per_second"])],
                *([f"memory {when}", f"{value} MiB"] for when, value in memory.items()),
                ["memory growth", f"{figures['memory_growth']:.1%}"],
                ["load average of other work before", load],
            ],
            command=f"python benchmarks/watch_rate.py --seconds {arguments.seconds:g} "
            f"--side {arguments.side}",
        )
    sys.exit(0 if figures["memory_growth"] < 0.05 and figures["exit_status"] == 0 else 1)


if __name__ == "__main__":
    main()
