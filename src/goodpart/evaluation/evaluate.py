"""Run a model over the test side of a data folder and gather what can be said about it.

Images are inspected one at a time, from their bytes, the way the line does it; score maps are
counted and let go, so that memory does not grow with the number of images.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.inspection import Inspection, Limits, Verdict
from goodpart.decision.maps import resize_map, resize_mask
from goodpart.decision.metrics import (
    PixelMetrics,
    Rate,
    auroc,
    average_precision,
    quantiles,
    rates,
)
from goodpart.errors import DataError, ImageError
from goodpart.model import Model
from goodpart.parts.dataset import Dataset, Item
from goodpart.parts.read import read_image
from goodpart.parts.road import resize_matrix
from goodpart.progress import Progress, track


@dataclass(frozen=True)
class Outcome:
    """What was said of one part of the test side, without its pictures.

    Parameters
    ----------
    item : Item
    part : str
        Its name.
    place : int
        Which part of its image it is.
    verdict : Verdict
    score : float or None
    reason, message : str or None
        Why it was not judged.
    """

    item: Item
    part: str
    place: int
    verdict: Verdict
    score: float | None
    reason: str | None = None
    message: str | None = None

    @property
    def wrong(self) -> bool:
        """Whether the verdict contradicts the label: overkill or escape."""
        return self.verdict is (Verdict.NG if self.item.good else Verdict.OK)


@dataclass
class Evaluation:
    """Figures of one model on one data folder.

    Parameters
    ----------
    model_id, detector : str
    limits : Limits
    outcomes : list of Outcome
    pixels : PixelMetrics
    seconds : list of float
        For each image, from its bytes to its inspections.
    without_mask : int
        Defective images left out of the pixel figures because they have no readable mask.
    problems : list of str
        Sentences about what had to be left out.
    """

    model_id: str
    detector: str
    limits: Limits
    outcomes: list[Outcome] = field(default_factory=list)
    pixels: PixelMetrics = field(default_factory=PixelMetrics)
    seconds: list[float] = field(default_factory=list)
    without_mask: int = 0
    problems: list[str] = field(default_factory=list)

    def scores(self, *, good: bool | None = None, label: str | None = None) -> NDArray[np.float64]:
        """Raw scores of the judged parts, of one side or of one class."""
        return np.array(
            [
                outcome.score
                for outcome in self.outcomes
                if outcome.score is not None
                and (good is None or outcome.item.good == good)
                and (label is None or outcome.item.label == label)
            ],
            dtype=np.float64,
        )

    def labels(self) -> list[str]:
        """Classes found, good first."""
        found = {outcome.item.label for outcome in self.outcomes}
        return sorted(found, key=lambda label: (label != "good", label))

    def by_class(self) -> dict[str, dict[str, Any]]:
        """For each class: verdicts, the rate of wrong ones with its bounds, and AUROC."""
        good = self.scores(good=True)
        table: dict[str, dict[str, Any]] = {}
        for label in self.labels():
            outcomes = [outcome for outcome in self.outcomes if outcome.item.label == label]
            counts = Counter(outcome.verdict for outcome in outcomes)
            scores = self.scores(label=label)
            judged = len(outcomes) - counts[Verdict.NOT_JUDGED]
            wrong = Rate(sum(outcome.wrong for outcome in outcomes), judged)
            table[label] = {
                "n": len(outcomes),
                "ok": counts[Verdict.OK],
                "check": counts[Verdict.CHECK],
                "ng": counts[Verdict.NG],
                "not_judged": counts[Verdict.NOT_JUDGED],
                "overkill" if label == "good" else "escape": wrong.to_dict(),
                "image_auroc": None if label == "good" else auroc(good, scores),
                "score_median": float(np.median(scores)) if scores.size else None,
            }
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything that ``evaluate --json`` writes; ``None`` for what cannot be had."""
        good, defective = self.scores(good=True), self.scores(good=False)
        verdicts = [(outcome.item.good, outcome.verdict) for outcome in self.outcomes]
        reasons = Counter(o.reason for o in self.outcomes if o.verdict is Verdict.NOT_JUDGED)
        counted = rates(verdicts)
        counted["not_judged"]["by_reason"] = dict(sorted(reasons.items()))
        return {
            "detector": self.detector,
            "model_id": self.model_id,
            "images": len(self.seconds),
            "parts": len(self.outcomes),
            "image_auroc": auroc(good, defective),
            "image_ap": average_precision(good, defective),
            "pixel_auroc": self.pixels.auroc(),
            "aupro": self.pixels.aupro(),
            "limits": {"ok": self.limits.ok, "ng": self.limits.ng},
            **counted,
            "by_class": self.by_class(),
            "pixel_images": {"counted": self.pixels.images, "without_mask": self.without_mask},
            "problems": self.problems,
            "seconds_per_image": quantiles(self.seconds),
        }


def require_test_items(dataset: Dataset) -> list[Item]:
    """The images of the test side.

    Raises
    ------
    DataError
        There is none, or a generated one is among them.
    """
    items = dataset.test()
    if not items:
        raise DataError(
            f"{dataset.root}: no test images; put them into test/good and test/<defect>, "
            "or into class folders (Normal and one folder for each defect)"
        )
    return items


def evaluate(
    model: Model,
    items: Sequence[Item],
    *,
    progress: Progress | None = None,
    stage: str = "evaluating",
) -> Evaluation:
    """Inspect test images one by one.

    Parameters
    ----------
    model : Model
    items : sequence of Item
        See :func:`require_test_items`. A file that cannot be judged is counted, never raised.
    progress : callable, optional
    stage : str
        What the progress is called.

    Returns
    -------
    Evaluation
    """
    result = Evaluation(model.id, model.detector.name, model.limits)
    masked = any(item.mask is not None for item in items)
    warm = False
    for item in track(items, stage, len(items), progress):
        data = file_bytes(item.path, model.recipe.input.max_bytes)
        if not warm:
            warm = _judged(model.inspect_all(data, name=str(item.path)))
        start = time.perf_counter()
        inspections = model.inspect_all(data, name=str(item.path))
        result.seconds.append(time.perf_counter() - start)
        for place, found in enumerate(inspections):
            result.outcomes.append(
                Outcome(
                    item, found.part, place, found.verdict, found.score, found.reason, found.message
                )
            )
        if masked and _judged(inspections):
            _count_pixels(result, item, inspections)
    return result


def file_bytes(path: Path, most: int) -> bytes | Path:
    """A file's bytes; the path itself where reading it is to fail with the usual reason."""
    try:
        return path.read_bytes() if path.stat().st_size <= most else path
    except OSError:
        return path


def _judged(inspections: Sequence[Inspection]) -> bool:
    return any(found.verdict is not Verdict.NOT_JUDGED for found in inspections)


def _count_pixels(result: Evaluation, item: Item, inspections: Sequence[Inspection]) -> None:
    size = source_size(item.path)
    if item.mask is not None:
        try:
            truth = read_image(item.mask).pixels
        except ImageError as error:
            result.problems.append(f"ground truth left out: {error}")
            result.without_mask += 1
            return
        mask = truth if truth.ndim == 2 else truth.max(axis=2)
    elif item.good:
        mask = np.zeros(size, dtype=np.uint8)
    else:
        result.without_mask += 1
        return
    result.pixels.add(map_on_source(inspections, size, (mask.shape[0], mask.shape[1])), mask)


def source_size(path: Path) -> tuple[int, int]:
    """Height and width of an upright image, from its header."""
    from PIL import ExifTags, Image

    with Image.open(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.width, image.height) if turned else (image.height, image.width)


def map_on_source(
    inspections: Sequence[Inspection], source: tuple[int, int], target: tuple[int, int]
) -> NDArray[np.float32]:
    """The score maps of all parts of an image, laid back onto it.

    Parameters
    ----------
    inspections : sequence of Inspection
        Of one image; those without a map are left out.
    source, target : (int, int)
        Height and width of the image, and of the map wanted.

    Returns
    -------
    ndarray of float32, target
        Minus infinity where nothing was scored or pixels are ignored.
    """
    whole = np.full(target, -np.inf, dtype=np.float32)
    for found in inspections:
        if found.raw_map is None or found.image is None or found.score is None:
            continue
        part = (found.image.shape[0], found.image.shape[1])
        simple = found.transform is None or np.allclose(
            found.transform, resize_matrix(source, part), atol=1e-6
        )
        if simple:
            laid = resize_map(found.raw_map, target)
            if found.mask is not None:
                laid = np.where(resize_mask(found.mask, target), laid, -np.inf)
        else:
            laid = _warp_back(found, part, source, target)
        np.maximum(whole, laid, out=whole)
    return whole


def _warp_back(
    found: Inspection, part: tuple[int, int], source: tuple[int, int], target: tuple[int, int]
) -> NDArray[np.float32]:
    assert found.raw_map is not None and found.transform is not None
    to_target = np.linalg.inv(resize_matrix(source, target)) @ found.transform
    flipped = (target[1], target[0])
    laid: Any = cv2.warpPerspective(
        resize_map(found.raw_map, part),
        to_target,
        flipped,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    counts = np.ones(part, np.uint8) if found.mask is None else found.mask.astype(np.uint8)
    covered: Any = cv2.warpPerspective(counts, to_target, flipped, flags=cv2.INTER_NEAREST)
    return np.where(covered != 0, laid, np.float32(-np.inf)).astype(np.float32)
