"""What a few defective parts among the good ones do: named, dropped, limits, figures.

Run with::

    python benchmarks/contaminated_good.py DATA=.../casting [DETECTOR=gaussian] [SHARES=0,0.02,0.05]

Defective castings are taken from the test side, mixed into the good training images as if they
had been put into the wrong folder, and left out of the test. For each share the table says how
many of them ``train`` names, how many good ones it names with them, and image AUROC, overkill and
escape on the rest of the test side: trained on everything, and with ``--drop-outliers``.
``KEY=value`` in lower case with a dot is a setting of the recipe (``align.method=none``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from results import write_table

from goodpart.evaluation.evaluate import evaluate
from goodpart.fitting import fit
from goodpart.parts.dataset import load_dataset
from goodpart.recipe import Recipe, override

COLUMNS = (
    "defective among the good",
    "trained",
    "named",
    "good ones named",
    "image AUROC",
    "overkill",
    "escape",
    "limit",
)


def measure(data: Path, detector: str, recipe: Recipe, share: float, drop: bool) -> list[str]:
    """One row of the table."""
    dataset = load_dataset(data)
    good = [item.path for item in dataset.train_good()]
    test = dataset.test()
    defective = [item.path for item in test if not item.good]
    rng = np.random.default_rng(0)
    count = round(share * len(good) / (1 - share))
    mixed = {defective[index] for index in rng.permutation(len(defective))[:count]}
    model = fit([*good, *sorted(mixed)], detector=detector, recipe=recipe, drop_outliers=drop)
    named = set(model.provenance["dropped"]) | set(model.calibration["outliers"])
    result = evaluate(model, [item for item in test if item.path not in mixed]).to_dict()
    wrong = sum(name not in {str(path) for path in mixed} for name in named)
    return [
        f"{share:.0%} ({count} of {len(good) + count})",
        "without those named" if drop else "on everything",
        f"{len(named) - wrong} of {count}",
        str(wrong),
        f"{result['image_auroc']:.4f}",
        _rate(result["overkill"]),
        _rate(result["escape"]),
        f"{model.limits.ng:.3g}",
    ]


def _rate(rate: dict[str, Any]) -> str:
    return f"{rate['rate']:.1%} ({rate['count']}/{rate['n']})"


def main(arguments: list[str]) -> None:
    """Print the rows as they come; write the table."""
    given = dict(argument.split("=", 1) for argument in arguments)
    settings = [argument for argument in arguments if "." in argument.split("=", 1)[0]]
    data, detector = Path(given["DATA"]), given.get("DETECTOR", "gaussian")
    recipe = override(Recipe(), settings)
    rows = []
    for share in (float(text) for text in given.get("SHARES", "0,0.02,0.05").split(",")):
        for drop in (False, True):
            rows.append(measure(data, detector, recipe, share, drop))
            print(" | ".join(rows[-1]), flush=True)
    write_table(
        f"contaminated_good_{data.name}",
        title=f"Defective {data.name} parts among the good ones ({detector})",
        columns=COLUMNS,
        rows=rows,
        command=" ".join(
            [
                "python benchmarks/contaminated_good.py",
                f"DATA={data.name}",
                f"DETECTOR={detector}",
                *settings,
            ]
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
