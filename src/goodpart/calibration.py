"""The limits of a model: set at training on held-out scores, set again later without training.

What limits are set from stays in the model's manifest under ``calibration``: the held-out scores
of the good images by name (``good_scores``), which of them a person vouched for (``vouched``),
scores of defective images where some were given (``defect_scores``), how the held-out scores came
about (``held_out``), which good images show one and the same part (``same_part``) and whether
those were held out together (``captures``), and a ``history`` of every change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goodpart.decision import Limits
from goodpart.decision.judge import region_level
from goodpart.decision.limits import calibrate, conformal_limit, highest, smallest_rate
from goodpart.decision.maps import resize_mask
from goodpart.decision.metrics import Rate
from goodpart.detectors import Detector
from goodpart.detectors.engine_check import EngineCheck
from goodpart.errors import DataError, TrainingError
from goodpart.model import Model
from goodpart.model_folder import change_manifest, read_manifest
from goodpart.parts.dataset import image_files, is_good_name, load_dataset
from goodpart.progress import Progress, track
from goodpart.recipe import LimitsSection, Recipe

BY_HAND = "by hand"
OWN = "the detector's own"
# Rates that a person may want to compare before choosing one.
USUAL_RATES = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
# Share of further captures among the good images from which a person should know of them.
MANY_CAPTURES = 0.1


def set_limits(
    detector: Detector,
    recipe: Recipe,
    names: list[str],
    shown: Sequence[int],
    mask_of: Callable[[int], NDArray[np.bool_] | None],
) -> tuple[Limits, float, dict[str, Any]]:
    """Limits, region level and their story from a fitted detector's held-out maps.

    Parameters
    ----------
    detector : Detector
    recipe : Recipe
    names : list of str
        Of the part images that it learned.
    shown : sequence of int
        Which part each of them shows.
    mask_of : callable
        Where pixels of a part image count, by its index; ``None``: everywhere.

    Raises
    ------
    TrainingError
        A held-out score is not finite, or there is none.
    """
    held_out = detector.held_out_
    scores = [detector.score(held.raw_map, mask_of(held.index)) for held in held_out]
    if not scores or not np.isfinite(scores).all():
        raise TrainingError(
            f"the detector {detector.name} gives no finite scores on the good images; "
            "look at them with: goodpart stats"
        )
    level = region_level([_counted(held.raw_map, mask_of(held.index)) for held in held_out])
    story: dict[str, Any] = {
        "good_scores": {names[held.index]: s for held, s in zip(held_out, scores, strict=True)},
        "defect_scores": {},
        "vouched": [],
        "held_out": detector.guarantee,
        "own_limit": detector.own_limit,
        "captures": recipe.part.captures,
        "same_part": captures_of(
            [names[h.index] for h in held_out], [shown[h.index] for h in held_out]
        ),
        "history": [],
    }
    # An escape rate needs defective images: limits for it are set once those are scored.
    wish = recipe.limits.model_copy(update={"escape": None})
    limits, story = set_again(story, wish, own=detector.own_limit is not None, why="trained")
    return limits, level, story


def captures_of(names: Sequence[str], shown: Sequence[int]) -> list[list[str]]:
    """Names of images that show one and the same part, for every part with several."""
    found: dict[int, list[str]] = {}
    for name, part in zip(names, shown, strict=True):
        found.setdefault(part, []).append(name)
    return [group for group in found.values() if len(group) > 1]


def _counted(raw_map: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    if mask is None:
        return raw_map
    return raw_map[resize_mask(mask, (raw_map.shape[0], raw_map.shape[1]))]


def set_again(
    story: Mapping[str, Any],
    wish: LimitsSection,
    *,
    why: str,
    own: bool = False,
) -> tuple[Limits, dict[str, Any]]:
    """Limits for another wish, from the scores that the model keeps.

    Parameters
    ----------
    story : mapping
        The model's calibration.
    wish : LimitsSection
        Limits by hand, or the rates wanted.
    why : str
        What the history is to say.
    own : bool
        Take the limit that the detector brings.

    Returns
    -------
    (limits, story)
        A new story; the given one is left as it is.

    Raises
    ------
    DataError
        An escape rate without scores of defective images, or there are no good ones.
    """
    good: dict[str, float] = dict(story["good_scores"])
    defects: dict[str, float] = dict(story["defect_scores"])
    if not good:
        raise DataError("the model keeps no scores of good images: its limits can't be set again")
    if wish.escape is not None and not defects:
        raise DataError(
            "an escape rate needs defective images: give a folder of them with --defects"
        )
    parts = _shown(story, list(good))
    together = story["captures"] == "together"
    result = calibrate(
        list(good.values()),
        overkill=wish.overkill,
        guarantee=story["held_out"],
        defects=list(defects.values()),
        escape=wish.escape,
        vouched={index for index, name in enumerate(good) if name in set(story["vouched"])},
        parts=parts,
        together=together,
    )
    limits, new = result.limits, result.to_dict()
    different = len(set(parts))
    if len(good) - different > MANY_CAPTURES * len(good):
        note = f"{len(good)} good images show {different} different parts"
        if not together:
            note += (
                ": the rate is for further images of parts like these, and parts never seen may "
                "be judged NG far more often; for those train with --set part.captures=together"
            )
        new["notes"].append(note)
    if wish.ok is not None and wish.ng is not None:
        limits = Limits(wish.ok, wish.ng)
        new |= {"guarantee": BY_HAND, "promised": False}
        new["notes"] = ["the limits are set by hand; they promise nothing"]
    elif own and story["own_limit"] is not None:
        limits = Limits(story["own_limit"], story["own_limit"])
        new |= {"guarantee": OWN, "promised": False}
        new["notes"] = [
            f"{limits.ng:g} belongs to this score whatever the data; it promises nothing"
        ]
    names = list(good)
    entry = {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "why": why,
        "limits": {"ok": limits.ok, "ng": limits.ng},
        "wish": wish.model_dump(exclude_none=True),
        "own": own,
        "scores": len(good),
    }
    new |= {
        "limits": {"ok": limits.ok, "ng": limits.ng},
        "outliers": [names[i] for i in result.outliers],
        "good_scores": good,
        "defect_scores": defects,
        "vouched": list(story["vouched"]),
        "held_out": story["held_out"],
        "own_limit": story["own_limit"],
        "captures": story["captures"],
        "same_part": story["same_part"],
        "history": [*story["history"], entry],
    }
    return limits, new


def first_wish(story: Mapping[str, Any]) -> tuple[LimitsSection, bool]:
    """What the limits were to promise when the model was trained, and whether they were its own."""
    first = story["history"][0]
    return LimitsSection(**first["wish"]), bool(first["own"])


def costs(story: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What limits cost on the scores that the model keeps.

    Returns
    -------
    dict
        ``overkill`` (good images above ``ng``), ``check_good``, ``escape`` (defective images at
        or below ``ok``) and ``check_defective``, each with its exact 95 % bounds; figures of
        defective images are ``null`` without any. Good images that stand out are not counted.
    """
    good = _kept(story)
    defects = np.array(list(story["defect_scores"].values()), dtype=np.float64)

    def rate(values: NDArray[Any], chosen: NDArray[np.bool_]) -> dict[str, Any]:
        return Rate(int(chosen.sum()), values.size).to_dict()

    def between(values: NDArray[Any]) -> NDArray[np.bool_]:
        return (values > limits.ok) & (values <= limits.ng)

    return {
        "overkill": rate(good, good > limits.ng),
        "check_good": rate(good, between(good)),
        "escape": rate(defects, defects <= limits.ok),
        "check_defective": rate(defects, between(defects)),
    }


def choices(story: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One limit (``ok = ng``) for each usual overkill rate that can be promised, and its cost.

    Returns
    -------
    list of dict
        ``overkill`` (asked for), ``limit``, and :func:`costs` with what is found of it as
        ``overkill_found``. The last is the smallest rate that this many images can promise.
    """
    good = _kept(story)
    smallest = smallest_rate(good.size)
    rates = sorted({rate for rate in USUAL_RATES if rate > smallest} | {smallest}, reverse=True)
    rows = []
    for rate in rates:
        limit = conformal_limit(good, rate)
        cost = costs(story, Limits(limit, limit))
        found = cost.pop("overkill")
        rows.append({"overkill": rate, "limit": limit, "overkill_found": found} | cost)
    return rows


def _kept(story: Mapping[str, Any]) -> NDArray[np.float64]:
    """Good scores without those that stand out: of images, or of parts where those count."""
    out = set(story["outliers"])
    names = [name for name in story["good_scores"] if name not in out]
    scores = np.array([story["good_scores"][name] for name in names], dtype=np.float64)
    if story["captures"] == "together":
        return highest(scores, np.array(_shown(story, names)))
    return scores


def _shown(story: Mapping[str, Any], names: Sequence[str]) -> list[int]:
    """Which part each of these images shows, as numbers."""
    part = {name: group[0] for group in story["same_part"] for name in group}
    numbers: dict[str, int] = {}
    return [numbers.setdefault(part.get(name, name), len(numbers)) for name in names]


def defect_files(folder: Path) -> list[Path]:
    """Images of defective parts that may set limits: of a folder and the folders in it.

    Where one of those holds good parts it is a data folder: the training side of its defects.

    Raises
    ------
    DataError
        There is none, or the folder is laid out to measure with.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one with images of defective parts")
    if (folder / "test").is_dir():
        raise DataError(
            f"{folder}: its test/ is there to measure with; give a folder of other defective parts"
        )
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if any(is_good_name(path.name) for path in inside):
        files = [item.path for item in load_dataset(folder).train_defects()]
    else:
        files = [file for place in (folder, *inside) for file in image_files(place)]
    if not files:
        raise DataError(f"{folder}: no images of defective parts")
    return files


def score_defects(
    model: Model, files: Sequence[Path], progress: Progress | None = None
) -> tuple[dict[str, float], list[str]]:
    """Scores of defective parts by name, and messages about those that can't be judged.

    Raises
    ------
    DataError
        None of them can be judged.
    """
    scores: dict[str, float] = {}
    problems: list[str] = []
    for path in track(files, "scoring defects", len(files), progress):
        for found in model.inspect_all(path):
            if found.score is None:
                problems.append(found.message or str(path))
            else:
                pocket = "" if found.pocket is None else f" [{found.pocket}]"
                scores[f"{path}{pocket}"] = found.score
    if not scores:
        raise DataError(f"none of the defective parts can be judged; the first: {problems[0]}")
    return scores, problems


def write_limits(
    folder: Path, story: Mapping[str, Any], wish: LimitsSection, *, why: str, own: bool = False
) -> tuple[Limits, dict[str, Any]]:
    """Set the limits of a model folder again; only its manifest changes, all or nothing.

    See :func:`set_again`.

    Raises
    ------
    ModelError
        The model judges on a fast engine, on which a training image would get another verdict.
    """
    limits, new = set_again(story, wish, why=why, own=own)
    manifest = read_manifest(folder)
    check = EngineCheck.of(manifest["provenance"])
    if check is not None:
        check.require(limits)
    recipe = {**manifest["recipe"], "limits": wish.model_dump(mode="json")}
    change_manifest(
        folder, limits={"ok": limits.ok, "ng": limits.ng}, calibration=new, recipe=recipe
    )
    return limits, new
