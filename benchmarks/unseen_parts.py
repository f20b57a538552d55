"""Is the overkill asked for met on parts that no training image shows?

Run with::

    python benchmarks/unseen_parts.py DATA=casting [FOLDS=3] [OVERKILL=0.05]

``DATA`` is a data folder of whose good training images several show one and the same part. Those
are shared out by part: a detector learns from some parts' images and judges the images of the
others, once for each fold, and once for each way of counting (``part.captures``). A part counts as
judged NG when one of its images is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from results import told, write_table

from goodpart.decision import Verdict
from goodpart.fitting import fit
from goodpart.gathering import complete_recipe, cut_parts, gather
from goodpart.parts.road import Road
from goodpart.recipe import Recipe, parse_recipe


def shared_out(data: Path, folds: int) -> tuple[list[Path], list[int], list[int]]:
    """Good training images, the part that each shows, and the fold of that part."""
    images = gather(data)
    recipe, state = complete_recipe(Recipe(), images)
    cut = cut_parts(images, Road(recipe, state))
    parts = sorted(set(cut.shown))
    place = np.random.default_rng(0).permutation(len(parts)) % folds
    fold_of = dict(zip(parts, place.tolist(), strict=True))
    return [Path(name) for name in cut.names], cut.shown, [fold_of[part] for part in cut.shown]


def main() -> None:
    given = {"FOLDS": "3", "OVERKILL": "0.05"}
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: a data folder with several images of each good part")
    data, folds = Path(given["DATA"]), int(given["FOLDS"])
    paths, shown, fold_of = shared_out(data, folds)
    rows = []
    for captures in ("apart", "together"):
        wish = {
            "part": {"captures": captures},
            "limits": {"overkill": float(given["OVERKILL"])},
        }
        found: dict[Path, Verdict] = {}
        promised = []
        for fold in range(folds):
            learned = [path for path, own in zip(paths, fold_of, strict=True) if own != fold]
            model = fit(learned, recipe=parse_recipe(wish))
            promised.append(model.calibration["promised"])
            for path, own in zip(paths, fold_of, strict=True):
                if own == fold:
                    found[path] = model.inspect(path).verdict
            print(captures, "fold", fold, "limit", model.limits.ng, flush=True)
        ng = [path for path in paths if found[path] is Verdict.NG]
        alarmed = {part for path, part in zip(paths, shown, strict=True) if path in set(ng)}
        rows.append(
            [
                captures,
                f"{sum(promised)} of {folds}",
                told(len(ng), len(found)),
                told(len(alarmed), len(set(shown))),
                str(sum(verdict is Verdict.NOT_JUDGED for verdict in found.values())),
            ]
        )
    write_table(
        "unseen_parts",
        title=f"Good {data.name} parts that no training image shows, judged NG at an overkill of "
        f"{float(given['OVERKILL']):.0%}: {len(paths)} images of {len(set(shown))} parts, "
        f"{folds} folds by part",
        columns=(
            "part.captures",
            "limits that promise it",
            "images judged NG",
            "parts judged NG",
            "images not judged",
        ),
        rows=rows,
        command=f"python benchmarks/unseen_parts.py DATA={data.name}",
    )


if __name__ == "__main__":
    main()
