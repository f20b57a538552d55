"""``--detector auto``: choose among detectors on good images and synthetic defects alone.

Every candidate learns one half of the good images (fewer where there are many) and scores the
other half, each image as it is and with a defect drawn into it. What counts is the share of
defects that lie above the limit which the good ones of that half would set (escape at a fixed
overkill), and after that the area under the ROC curve. Real defects differ from drawn ones: the
choice is a sensible start, not a proof; ``goodpart evaluate`` gives the proof.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision.limits import conformal_limit
from goodpart.decision.metrics import auroc
from goodpart.detectors.base import PartPixels
from goodpart.detectors.registry import create_detector
from goodpart.errors import GoodpartError, TrainingError
from goodpart.parts.dataset import folds
from goodpart.parts.synthetic import KINDS, add_defect
from goodpart.progress import Progress, track

AUTO = "auto"
# Cheapest first: where time runs out, what was tried stands, and a trial that is under way then is
# given up (the first is not: something has to be chosen). A network trained from nothing takes
# longer than the choice may.
CANDIDATES = ("variation", "gaussian", "ensemble", "memory")
MOST_SECONDS = 240.0
MOST_IMAGES = 60
TIME_IS_UP = "the time for choosing was up"
OVERKILL = 0.05
# A detector that finds as much, within this, as a slower one is taken before it.
TIE = 0.01


@dataclass(frozen=True)
class Trial:
    """How one detector did.

    Parameters
    ----------
    name : str
    found : float or None
        Share of drawn defects above the limit that the held-out good images set; ``None`` where
        it was not tried.
    auroc : float or None
    milliseconds : float or None
        To score one image.
    seconds : float
        For the trial.
    note : str
        Why it was not tried or failed.
    """

    name: str
    found: float | None = None
    auroc: float | None = None
    milliseconds: float | None = None
    seconds: float = 0.0
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def choose_detector(
    images: Sequence[PartPixels],
    *,
    groups: Sequence[str],
    mask: NDArray[np.bool_] | None = None,
    seed: int = 0,
    candidates: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[str, list[Trial]]:
    """The detector that finds most drawn defects, and how all did.

    Parameters
    ----------
    images : sequence of ndarray
        Good part images.
    groups : sequence of str
        Source of each; those of one source stay in one half.
    mask : ndarray of bool, (H, W), optional
    seed : int
    candidates : sequence of str, optional
        By default :data:`CANDIDATES`.
    progress : callable, optional

    Returns
    -------
    (str, list of Trial)

    Raises
    ------
    TrainingError
        None could be tried.
    """
    begin = time.perf_counter()
    candidates = CANDIDATES if candidates is None else candidates
    learned, tested = _halves(groups)
    rng = np.random.default_rng(seed)
    defective = [
        add_defect(images[index], rng, kind=KINDS[place % len(KINDS)], within=mask).pixels
        for place, index in enumerate(tested)
    ]
    trials: list[Trial] = []
    for name in track(candidates, "choosing a detector", len(candidates), progress):
        spent = time.perf_counter() - begin
        longest = max((trial.seconds for trial in trials), default=0.0)
        if spent + longest > MOST_SECONDS:
            trials.append(Trial(name, note=f"not tried: {TIME_IS_UP}"))
            continue
        until = begin + MOST_SECONDS if trials else np.inf
        trials.append(_try(name, images, groups, learned, tested, defective, mask, seed, until))
    done = [trial for trial in trials if trial.found is not None]
    if not done:
        raise TrainingError(f"no detector could be tried; {trials[0].name}: {trials[0].note}")
    return _best(done).name, trials


def _best(trials: list[Trial]) -> Trial:
    """Most defects found; among equals the higher AUROC, then the faster."""

    def rank(trial: Trial) -> tuple[float, float, float]:
        assert trial.found is not None and trial.milliseconds is not None
        return (
            round(trial.found / TIE) * TIE,
            round((trial.auroc or 0.0) / TIE) * TIE,
            -trial.milliseconds,
        )

    return max(trials, key=rank)


def _halves(groups: Sequence[str]) -> tuple[list[int], list[int]]:
    half = folds(groups, 2)
    sides = [[i for i, side in enumerate(half) if side == which] for which in (0, 1)]
    if not all(sides):
        raise TrainingError("choosing a detector needs good images from at least two sources")
    return sides[0][:MOST_IMAGES], sides[1][:MOST_IMAGES]


def _try(
    name: str,
    images: Sequence[PartPixels],
    groups: Sequence[str],
    learned: list[int],
    tested: list[int],
    defective: list[PartPixels],
    mask: NDArray[np.bool_] | None,
    seed: int,
    until: float,
) -> Trial:
    begin = time.perf_counter()

    def look_at_the_clock(*_: Any) -> None:
        if time.perf_counter() > until:
            raise TrainingError(TIME_IS_UP)

    try:
        detector = create_detector(name, {}).fit(
            [images[index] for index in learned],
            groups=[groups[index] for index in learned],
            mask=mask,
            seed=seed,
            progress=look_at_the_clock,
        )
        start = time.perf_counter()
        scores = []
        for image in (*(images[index] for index in tested), *defective):
            scores.append(detector.score(detector.raw_map(image), mask))
            look_at_the_clock()
        good, bad = scores[: len(tested)], scores[len(tested) :]
        each = (time.perf_counter() - start) / (len(good) + len(bad))
        limit = conformal_limit(good, OVERKILL)
    except (GoodpartError, ValueError) as error:
        return Trial(name, seconds=time.perf_counter() - begin, note=f"failed: {error}")
    return Trial(
        name,
        found=float(np.mean(np.array(bad) > limit)),
        auroc=auroc(good, bad),
        milliseconds=each * 1e3,
        seconds=time.perf_counter() - begin,
    )


def explain(chosen: str, trials: Sequence[Trial]) -> list[str]:
    """The choice in sentences for people, one line for each detector."""
    lines = []
    for trial in trials:
        if trial.found is None:
            lines.append(f"{trial.name}: {trial.note}")
            continue
        mark = " <- chosen" if trial.name == chosen else ""
        lines.append(
            f"{trial.name}: finds {trial.found:.1%} of drawn defects at {OVERKILL:.0%} overkill, "
            f"AUROC {trial.auroc:.3f}, {trial.milliseconds:.1f} ms an image{mark}"
        )
    return lines
