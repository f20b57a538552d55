"""Time and memory of training ``dcgan`` at 480 × 480 in batches of 32.

Run with::

    python benchmarks/dcgan_steps.py [STEPS=20] [SIZE=480] [BATCH=32] [PRECISION=auto]

Both networks learn in each step; *of a core*: the median of the processor's seconds, which do not
depend on what else runs. The images are noise: time and memory do not depend on them.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from results import write_table

from goodpart.generators import create_generator
from goodpart.generators.trained import train_generator


def main() -> None:
    given = {"STEPS": "20", "SIZE": "480", "BATCH": "32", "PRECISION": "auto"}
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    steps, size, batch = (int(given[key]) for key in ("STEPS", "SIZE", "BATCH"))
    settings = {"size": size, "batch": batch, "epochs": 1, "precision": given["PRECISION"]}
    generator = create_generator("dcgan", settings)
    shape = generator.fitting_shape(size, size, 1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (steps * batch, shape.height, shape.width, 1), dtype=np.uint8)
    times: list[float] = []
    processor: list[float] = []

    def listen(stage: str, done: int, total: int) -> None:
        times.append(time.perf_counter())
        processor.append(time.process_time())
        print(f"{stage} step {done} of {total}", flush=True)

    begin, spent = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = train_generator(
            generator, shape, images, folder=Path(folder), progress=listen, accelerator="cpu"
        )
    seconds, used = np.diff([begin, *times]), np.diff([spent, *processor])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = [
        f"{shape.width} × {shape.height}",
        str(batch),
        str(trained.provenance["precision"]),
        f"{np.median(seconds):.1f}",
        f"{seconds.max():.1f}",
        f"{np.median(used):.1f}",
        f"{peak:.0f}",
    ]
    columns = (
        "size",
        "batch",
        "precision",
        "s/step (median)",
        "slowest",
        "of a core",
        "memory MiB",
    )
    print("  ".join(f"{name}: {value}" for name, value in zip(columns, row, strict=True)))
    write_table(
        "dcgan_steps", title=f"{steps} steps of dcgan on the processor", columns=columns, rows=[row]
    )


if __name__ == "__main__":
    main()
