"""Add good images to an existing model in seconds, and say which earlier verdicts change.

What the detector keeps is enough (see :meth:`goodpart.detectors.Detector.extend`): the images it
was trained on are not needed. Limits are set again from the held-out scores of both: the new
images are scored as by a model that did not see them; the earlier images keep the scores they
had, which is an approximation. More good images make a detector more tolerant on the whole, so
that the earlier scores are rather too high than too low and the promise on overkill is kept.
Where a tenth or more of the images was learned this way, train again to have exact scores.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from goodpart.calibration import OWN, captures_of, defect_files, score_defects, set_again
from goodpart.decision import Inspection, Verdict
from goodpart.detectors.engine_check import EngineCheck
from goodpart.errors import DataError, TrainingError
from goodpart.fitting import fingerprint
from goodpart.gathering import same_parts
from goodpart.model import Model, Prepared
from goodpart.parts.duplicates import thumbnail_of
from goodpart.parts.statistics import to_grey
from goodpart.progress import Progress, track

MANY = 0.1


@dataclass(frozen=True)
class Change:
    """A verdict before and after.

    Parameters
    ----------
    name : str
    before, after : Verdict
    score_before, score_after : float
        Of training images both are the kept held-out score.
    """

    name: str
    before: Verdict
    after: Verdict
    score_before: float
    score_after: float

    @property
    def changed(self) -> bool:
        """Whether the verdict is another one."""
        return self.before is not self.after

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "before": self.before.value,
            "after": self.after.value,
            "score_before": self.score_before,
            "score_after": self.score_after,
        }


@dataclass
class Learned:
    """What :func:`learn` did.

    Parameters
    ----------
    given : list of Change
        The images given, judged by the model before and after.
    training : list of Change
        Earlier training images whose verdict changes.
    left_out : list of (str, str)
        Name and reason: unreadable, not judged, or learned before.
    notes : list of str
        What a person should know.
    """

    given: list[Change] = field(default_factory=list)
    training: list[Change] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def learn(
    model: Model,
    paths: Sequence[Path],
    *,
    defects: Path | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Learn more good images; changes the model in place and gives it a new id.

    Parameters
    ----------
    model : Model
    paths : sequence of Path
        Images of good parts.
    defects : Path, optional
        Folder of defective parts, needed where the limits hold an escape rate.
    progress : callable, optional

    Returns
    -------
    Learned

    Raises
    ------
    DataError
        None of the images can be learned, or ``defects`` is missing.
    TrainingError
        The detector cannot learn more images.
    """
    check = EngineCheck.of(model.provenance)
    if check is not None:
        raise TrainingError(
            f"this model's limits were checked on {check.name} with the images of its training: "
            "train it again with all of them"
        )
    wish = model.recipe.limits
    if wish.escape is not None and defects is None:
        raise DataError(
            "this model's limits hold an escape rate: give the defective parts again with "
            "--defects, since their scores change"
        )
    files = None if defects is None else defect_files(defects)
    result = Learned()
    parts, before, hashes = _gather(model, paths, result, progress)
    if not parts:
        raise DataError(f"nothing to learn; the first: {result.left_out[0][1]}")
    names = [_name(part.common) for part in parts]
    shown = list(range(len(parts)))
    if model.recipe.part.captures == "together":
        shown = same_parts([thumbnail_of(to_grey(part.pixels)) for part in parts], progress)
    model.detector.extend(
        [p.pixels for p in parts], groups=[names[one] for one in shown], progress=progress
    )
    held_out = {
        names[held.index]: model.detector.score(held.raw_map, parts[held.index].mask)
        for held in model.detector.held_out_
    }
    _limit(model, held_out, captures_of(names, shown), files, result, progress)
    for part, earlier in zip(parts, before, strict=True):
        now = model.conclude(part, model.detector.raw_map(part.pixels), score_ms=0.0)
        assert earlier.score is not None and now.score is not None
        result.given.append(
            Change(_name(part.common), earlier.verdict, now.verdict, earlier.score, now.score)
        )
    _note(model, names, hashes, result)
    return result


def _gather(
    model: Model, paths: Sequence[Path], result: Learned, progress: Progress | None
) -> tuple[list[Prepared], list[Inspection], list[str]]:
    """Part images with their verdicts by the model as it is, and the images' hashes."""
    known = set(model.provenance["image_sha256"])
    parts, before, hashes = [], [], []
    for path in track(paths, "reading", len(paths), progress):
        for item in model.prepare(path):
            if isinstance(item, Inspection):
                result.left_out.append((str(path), item.message or str(path)))
                continue
            sha256 = item.common["sha256"]
            if sha256 in known:
                result.left_out.append((str(path), f"{path}: learned before"))
                continue
            parts.append(item)
            hashes.append(sha256)
            raw_map = model.detector.raw_map(item.pixels)
            before.append(model.conclude(item, raw_map, score_ms=0.0))
        # Only now: the parts of a tray share its hash.
        known.update(hashes)
    return parts, before, list(dict.fromkeys(hashes))


def _limit(
    model: Model,
    held_out: dict[str, float],
    same_part: list[list[str]],
    files: Sequence[Path] | None,
    result: Learned,
    progress: Progress | None,
) -> None:
    """Set the limits again, and say which training images get another verdict."""
    story, earlier = model.calibration, model.limits
    if not all(score == score for score in held_out.values()):
        raise TrainingError(f"the detector {model.detector.name} gives no finite scores on these")
    defect_scores: dict[str, float] = {}
    if files is not None:
        defect_scores, problems = score_defects(model, files, progress)
        result.notes += [f"defective image left out: {text}" for text in problems]
    elif story["defect_scores"]:
        result.notes.append("scores of defective images are of the earlier model: dropped")
    grown = {
        **story,
        "good_scores": {**story["good_scores"], **held_out},
        "defect_scores": defect_scores,
        "same_part": [*story["same_part"], *same_part],
        "vouched": [*story["vouched"], *held_out],
    }
    count = len(held_out)
    model.limits, model.calibration = set_again(
        grown,
        model.recipe.limits,
        own=story["guarantee"] == OWN,
        why=f"learn {count} image{'s' if count > 1 else ''}",
    )
    for name, score in story["good_scores"].items():
        change = Change(name, earlier.verdict(score), model.limits.verdict(score), score, score)
        if change.changed:
            result.training.append(change)
    far = [name for name, score in held_out.items() if score > 2 * max(earlier.ng, 0.0)]
    result.notes += [
        f"{name}: scored more than twice the limit; make sure that it shows a good part"
        for name in far
    ]


def _note(model: Model, names: list[str], hashes: list[str], result: Learned) -> None:
    """The new model's id and provenance."""
    story = model.provenance
    story["learned"] = [
        *story.get("learned", []),
        {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "from_model": model.id,
            "images": names,
        },
    ]
    story["image_sha256"] = [*story["image_sha256"], *hashes]
    story["data_sha256"] = fingerprint(story["image_sha256"])
    trained = story["parts_used"]
    story["parts_used"] = trained + len(names)
    learned = sum(len(entry["images"]) for entry in story["learned"])
    if learned > MANY * (story["parts_used"] - learned):
        result.notes.append(
            f"{learned} of {story['parts_used']} images were learned after training: train again "
            "to have all held-out scores exact"
        )
    model.id = uuid.uuid4().hex


def _name(common: dict[str, Any]) -> str:
    pocket = common["pocket"]
    return str(common["source"]) if pocket is None else f"{common['source']} [{pocket}]"
