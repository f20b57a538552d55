"""Is the overkill asked for met on further good images?

Run with::

    python benchmarks/overkill_met.py DATA=../shared/data [SETS=casting,magnetic_tile,grid] \
        [FOLDS=5] [RATES=0.1,0.05,0.02,0.01]

``DATA`` is the folder that holds the data sets; their test sides are not opened. A set's good
training images are shared out to folds at random; each is judged once, by the default detector
that learned from all other folds, with one limit for each rate. Good folders are never all good:
a column leaves out the images that ``train`` names as standing out when it learns from all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from results import told, write_table

from goodpart.calibration import set_again
from goodpart.fitting import fit
from goodpart.model import Model
from goodpart.parts.dataset import load_dataset
from goodpart.recipe import LimitsSection


def limit_for(model: Model, rate: float) -> float:
    """The limit that this model would get for an overkill of ``rate``."""
    return set_again(model.calibration, LimitsSection(overkill=rate), why="benchmark")[0].ng


def judged(
    images: list[Path], folds: int, rates: list[float]
) -> list[tuple[Path, float | None, list[float]]]:
    """Every image with its score and the limits of the model that judged it."""
    fold_of = np.random.default_rng(0).permutation(len(images)) % folds
    found = []
    for fold in range(folds):
        own = fold_of == fold
        model = fit([path for path, held in zip(images, own, strict=True) if not held])
        limits = [limit_for(model, rate) for rate in rates]
        held_out = (path for path, held in zip(images, own, strict=True) if held)
        found += [(path, model.inspect(path).score, limits) for path in held_out]
    return found


def main() -> None:
    given = {"SETS": "casting,magnetic_tile,grid", "FOLDS": "5", "RATES": "0.1,0.05,0.02,0.01"}
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: the folder that holds the data sets")
    rates = [float(text) for text in given["RATES"].split(",")]
    rows = []
    for name in given["SETS"].split(","):
        images = [item.path for item in load_dataset(Path(given["DATA"]) / name).train_good()]
        everything = fit(images)
        odd = set(everything.calibration["outliers"])
        found = judged(images, int(given["FOLDS"]), rates)
        scored = [(path, score, limits) for path, score, limits in found if score is not None]
        for place, rate in enumerate(rates):
            above = {path: score > limits[place] for path, score, limits in scored}
            usual = {path: ng for path, ng in above.items() if str(path) not in odd}
            rows.append(
                [
                    name,
                    everything.detector.name,
                    f"{rate:.0%}",
                    told(sum(above.values()), len(above)),
                    told(sum(usual.values()), len(usual)),
                    str(len(found) - len(scored)),
                ]
            )
            print("  ".join(rows[-1]), flush=True)
    write_table(
        "overkill_met",
        title="Good images judged NG by a model that learned from other images: "
        f"{given['FOLDS']} folds, each image judged once",
        columns=(
            "data set",
            "detector",
            "asked for",
            "judged NG",
            "without images that stand out",
            "not judged",
        ),
        rows=rows,
        command="python benchmarks/overkill_met.py DATA=data",
    )


if __name__ == "__main__":
    main()
