"""Which generator is better in the same time? Both on the same real images, by the same measures.

Run with::

    python benchmarks/generators.py DATA=casting [GENERATORS=light_gan,dcgan] [COUNT=105] \
        [MINUTES=4] [DRAWN=200] [SEED=0] [WORK=folder]

``DATA`` is a data folder in the benchmark layout, of which ``COUNT`` images are taken.
``MINUTES`` are of the processor, not of the clock: an epoch of each generator is timed first, then
it is trained for as many as fit. Both make 128 pixels and learn from parts that are located in
their images. Figures are those of the report of ``goodpart synthesize``, of all images as they
are drawn; *kept* is what its gate lets through.
"""

from __future__ import annotations

import shutil
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
from results import write_table
from synthesize_helps import real_images

from goodpart.decision.pictures import png_bytes
from goodpart.generators import create_generator
from goodpart.generators.adversarial import grid_of
from goodpart.generators.base import Shape
from goodpart.generators.config import GateSettings
from goodpart.generators.frame import Parts, locate_parts
from goodpart.generators.gate import Gate
from goodpart.generators.images import read_real_images
from goodpart.generators.measures import measure
from goodpart.generators.trained import TrainedGenerator, train_generator

SIZE = 128


def trained(
    name: str, parts: Parts, epochs: int, folder: Path, seed: int
) -> tuple[TrainedGenerator, float]:
    """The generator, and the seconds of the processor that it took."""
    generator = create_generator(name, {"size": SIZE, "epochs": epochs, "max_minutes": 1e6})
    images = parts.array
    shape = Shape(images.shape[3], *images.shape[1:3])
    begin = time.process_time()
    found = train_generator(generator, shape, images, folder=folder, seed=seed, accelerator="cpu")
    return found, time.process_time() - begin


def main() -> None:
    given = {
        "GENERATORS": "light_gan,dcgan",
        "COUNT": "105",
        "MINUTES": "4",
        "DRAWN": "200",
        "SEED": "0",
        "WORK": "generators-benchmark",
    }
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: a data folder in the benchmark layout, such as casting")
    work, seed, drawn = Path(given["WORK"]), int(given["SEED"]), int(given["DRAWN"])
    work.mkdir(parents=True, exist_ok=True)
    real = read_real_images(real_images(Path(given["DATA"]), int(given["COUNT"]), seed, work))
    parts = locate_parts(real, create_generator("light_gan", {"size": SIZE}).fitting_shape)
    sources = [item.source for item in parts.real.items]
    gate = Gate(GateSettings()).fit(parts.pixels, sources, mask=parts.mask, seed=seed)
    rows = []
    for name in given["GENERATORS"].split(","):
        shutil.rmtree(work / name, ignore_errors=True)
        _, cost = trained(name, parts, 1, work / name / "timed", seed)
        epochs = max(1, round(float(given["MINUTES"]) * 60 / cost))
        found, seconds = trained(name, parts, epochs, work / name / "trained", seed)
        images = [parts.blank(image) for image in islice(found.draw(seed), drawn)]
        (work / f"{name}.png").write_bytes(png_bytes(grid_of(np.stack(images[:16]))))
        judged = gate.judge(images)
        figures = measure(gate.real_, np.stack([one.vector for one in judged]), seed=seed)
        steps = epochs * (found.generator.training.steps or once_through(found, parts))
        rows.append(
            [
                name,
                str(steps),
                f"{seconds / 60:.1f}",
                f"{figures['kid']:.3f}",
                f"{figures['kid_between_real_halves']:.3f}",
                f"{figures['precision']:.2f}",
                f"{figures['recall']:.2f}",
                f"{figures['coverage']:.2f}",
                f"{np.mean([one.kept for one in judged]):.0%}",
            ]
        )
        print(rows[-1], flush=True)
        write_table(
            "generators",
            title=f"Generators on {len(parts.pixels)} real images of {Path(given['DATA']).name} "
            f"at {SIZE} pixels, each for about {given['MINUTES']} minutes of one core",
            columns=(
                "generator",
                "steps",
                "minutes of a core",
                "kid",
                "kid between real halves",
                "precision",
                "recall",
                "coverage",
                "kept",
            ),
            rows=rows,
            command=f"python benchmarks/generators.py DATA=casting COUNT={given['COUNT']} "
            f"MINUTES={given['MINUTES']} SEED={seed}",
        )


def once_through(found: TrainedGenerator, parts: Parts) -> int:
    """Of an epoch: once through the images."""
    return max(1, len(parts.pixels) // found.generator.training.batch)


if __name__ == "__main__":
    main()
