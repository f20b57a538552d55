"""Compare detectors and their settings on the training side alone.

Some good sources are held out. A cell (a detector with settings) learns from the others, then
scores the held-out parts and the same parts with synthetic defects drawn into them: the area
under that ROC is what cells are compared by. The test side is never opened.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.metrics import auroc
from goodpart.detectors import create_detector
from goodpart.errors import DataError, GoodpartError
from goodpart.gathering import complete_recipe, cut_parts, gather
from goodpart.parts.dataset import folds
from goodpart.parts.road import Road
from goodpart.parts.synthetic import KINDS, add_defect
from goodpart.progress import Progress, track
from goodpart.recipe import Recipe

# A third of the sources is held out, but no more parts than this are scored.
HELD_OUT_FOLDS = 3
MOST_HELD_OUT = 60
Settings = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A detector with settings, and what came of it.

    Parameters
    ----------
    detector : str
    settings : dict
    auroc : float or None
        Held-out good parts against the same parts with synthetic defects; ``None``: it failed.
    by_kind : dict of str to float
        The same for each kind of defect.
    seconds : float
        To learn.
    milliseconds : float
        For the score map of one part.
    error : str or None
        Why it failed.
    """

    detector: str
    settings: Settings
    auroc: float | None = None
    by_kind: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    milliseconds: float = 0.0
    error: str | None = None

    @property
    def name(self) -> str:
        """For tables and charts."""
        return " ".join([self.detector, *(f"{k}={v}" for k, v in self.settings.items())])


class Workbench:
    """Parts of one data folder, divided once, on which cells are tried.

    Parameters
    ----------
    data : path or ndarray
        A data folder in any layout, or images.
    recipe : Recipe
        Alignment and input as in training; its detector is not used.
    folder : Path
        Finished cells are kept in ``folder/cells`` and taken from there the next time.
    progress : callable, optional

    Raises
    ------
    DataError
        Fewer than six good sources.
    """

    def __init__(
        self,
        data: str | Path | NDArray[Any],
        recipe: Recipe,
        folder: Path,
        progress: Progress | None = None,
    ) -> None:
        images = gather(data)
        recipe, state = complete_recipe(recipe, images, progress)
        road = Road(recipe, state)
        cut = cut_parts(images, road, progress)
        parts, self._names, groups, self._mask = cut.images, cut.names, cut.groups, cut.mask
        if len(set(groups)) < 2 * HELD_OUT_FOLDS:
            raise DataError(
                f"tuning needs good images of at least {2 * HELD_OUT_FOLDS} sources, "
                f"there are {len(set(groups))}"
            )
        fold_of = folds(groups, HELD_OUT_FOLDS)
        self._learn = [i for i, fold in enumerate(fold_of) if fold != 0]
        self._held = [i for i, fold in enumerate(fold_of) if fold == 0][:MOST_HELD_OUT]
        self._parts, self._groups = parts, groups
        self._seed, self._folder, self._progress = recipe.seed, folder, progress
        shared = {
            "recipe": recipe.model_dump(mode="json", exclude={"detector", "limits", "name"}),
            "images": sorted(images.sha256),
        }
        self._data = _digest(shared)

    def run(self, detector: str, settings: Settings) -> Cell:
        """Try a cell, or take it from an earlier run.

        A cell whose settings are wrong or whose training fails comes back with its ``error``.
        """
        key = _digest({"data": self._data, "detector": detector, "settings": settings})
        path = self._folder / "cells" / f"{key[:16]}.json"
        if path.is_file():
            return Cell(**json.loads(path.read_text(encoding="utf-8")))
        try:
            cell = self._try(detector, settings, self._folder / "training" / key[:16])
        except GoodpartError as error:
            return Cell(detector, settings, error=str(error))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(cell), indent=1), encoding="utf-8")
        temporary.replace(path)
        return cell

    def _try(self, detector: str, settings: Settings, workdir: Path) -> Cell:
        learner = create_detector(detector, settings)
        begin = time.perf_counter()
        learner.fit(
            [self._parts[i] for i in self._learn],
            groups=[self._groups[i] for i in self._learn],
            mask=self._mask,
            seed=self._seed,
            workdir=workdir,
            progress=self._progress,
        )
        seconds = time.perf_counter() - begin
        good: list[float] = []
        defective: dict[str, list[float]] = {kind: [] for kind in KINDS}
        spent: list[float] = []
        for place in track(self._held, "comparing", len(self._held), self._progress):
            image = self._parts[place]
            start = time.perf_counter()
            raw_map = learner.raw_map(image)
            spent.append(time.perf_counter() - start)
            good.append(learner.score(raw_map, self._mask))
            for number, kind in enumerate(KINDS):
                rng = np.random.default_rng([self._seed, place, number])
                spoiled = add_defect(image, rng, kind=kind, within=self._mask).pixels
                defective[kind].append(learner.score(learner.raw_map(spoiled), self._mask))
        every = [score for scores in defective.values() for score in scores]
        return Cell(
            detector,
            settings,
            auroc=auroc(good, every),
            by_kind={kind: auroc(good, scores) or 0.0 for kind, scores in defective.items()},
            seconds=round(seconds, 2),
            milliseconds=round(1e3 * float(np.median(spent)), 2),
        )


def grid(axes: Mapping[str, Sequence[Any]], detector: str) -> Iterator[tuple[str, Settings]]:
    """All combinations of the axes; the axis ``detector`` names the detector.

    Yields
    ------
    (detector, settings)
    """
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        yield str(settings.pop("detector", detector)), settings


def ranked(cells: Sequence[Cell]) -> list[Cell]:
    """Best first; of equal ones the one that learns faster; failed ones last."""
    return sorted(
        cells, key=lambda c: (-1.0 if c.auroc is None else c.auroc, -c.seconds), reverse=True
    )


def _digest(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
