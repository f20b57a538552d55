"""What alignment is worth: image AUROC without it and with the one that ``train`` chose by itself.

Run with::

    python benchmarks/align_gain.py DATA=../shared/data/casting [TEACHER=weights] [OUT=file]

``DATA`` is a data folder with a test side. Detectors are trained twice, with ``align.method=none``
and with ``auto``; with ``TEACHER`` (a ``mobilenetv2_100`` safetensors file) so is a plain PaDiM
(Defard et al., 2020) on its features: one Gaussian for each place, Mahalanobis distance, maximum.
It looks at images of ``SIDE`` pixels and averages features over 3 x 3 places.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.decision.maps import score_of
from goodpart.detectors.backbones import load_backbone
from goodpart.fitting import fit
from goodpart.gathering import complete_recipe, cut_parts, gather
from goodpart.parts.dataset import load_dataset
from goodpart.parts.read import read_image
from goodpart.parts.road import Road, resize_part
from goodpart.recipe import Recipe, override

SIDE = 384
BATCH = 4


class Padim:
    """One Gaussian for each place of the feature map."""

    def __init__(self, teacher: str) -> None:
        self._extract = load_backbone(teacher).session()

    def _features(self, images: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """float32 (N, h, w, C) at stride 8: all outputs resized to it."""
        inputs = [resize_part(image, (SIDE, SIDE)) for image in images]
        outputs = self._extract(np.stack(inputs))
        height, width = outputs["stride8"].shape[2:]
        resized = []
        for batch in outputs.values():
            how = cv2.INTER_AREA if batch.shape[2] > height else cv2.INTER_LINEAR
            maps = [
                [
                    cv2.blur(cv2.resize(channel, (width, height), interpolation=how), (3, 3))
                    for channel in one
                ]
                for one in batch
            ]
            resized.append(np.asarray(maps, dtype=np.float32))
        return np.moveaxis(np.concatenate(resized, axis=1), 1, -1)

    def fit(self, images: Sequence[NDArray[Any]]) -> None:
        """Mean and inverse covariance of every place."""
        features = np.concatenate(
            [self._features(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        )
        self._mean = features.mean(axis=0)
        features -= self._mean
        count, height, width, channels = features.shape
        self._inverse = np.empty((height, width, channels, channels), dtype=np.float32)
        for row in range(height):
            there = np.moveaxis(features[:, row], 0, 1)
            covariance = there.transpose(0, 2, 1) @ there / (count - 1)
            covariance += 0.01 * np.eye(channels)
            self._inverse[row] = np.linalg.inv(covariance)

    def score_map(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """float32 (h, w)."""
        apart = self._features([image])[0] - self._mean
        squared = np.einsum("hwc,hwc->hw", (apart[:, :, None] @ self._inverse)[:, :, 0], apart)
        distance = np.sqrt(np.maximum(squared, 0)).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(distance, (0, 0), 0.5), dtype=np.float32)


def auroc(good: Sequence[float], defective: Sequence[float]) -> float:
    """Chance that a defective image scores above a good one."""
    ahead = np.subtract.outer(np.asarray(defective), np.asarray(good))
    return float((ahead > 0).mean() + 0.5 * (ahead == 0).mean())


def measure_padim(data: Path, recipe: Recipe, teacher: str) -> dict[str, Any]:
    """AUROC of the plain PaDiM on the part images that the recipe gives."""
    images = gather(data)
    complete, state = complete_recipe(recipe, images)
    road = Road(complete, state)
    parts = cut_parts(images, road).images
    padim = Padim(teacher)
    padim.fit(parts)
    scores: dict[bool, list[float]] = {True: [], False: []}
    lost = {True: 0, False: 0}
    for item in load_dataset(data).test():
        part = road.parts(read_image(item.path))[0]
        if part.pixels is None or part.problem is not None:
            lost[item.good] += 1
        else:
            scores[item.good].append(score_of(padim.score_map(part.pixels), part.mask))
    return _result("padim on the teacher", complete, scores, lost)


def measure_detector(data: Path, recipe: Recipe, detector: str) -> dict[str, Any]:
    """AUROC of one of goodpart's detectors."""
    model = fit(data, detector=detector, recipe=recipe)
    scores: dict[bool, list[float]] = {True: [], False: []}
    lost = {True: 0, False: 0}
    locate = []
    for item in load_dataset(data).test():
        found = model.inspect(item.path)
        if found.score is None:
            lost[item.good] += 1
        else:
            scores[item.good].append(found.score)
            locate.append(found.timings["locate"])
    result = _result(detector, model.recipe, scores, lost)
    result["locate_ms"] = [round(float(v), 2) for v in np.percentile(locate, (50, 95))]
    return result


def _result(
    name: str, recipe: Recipe, scores: dict[bool, list[float]], lost: dict[bool, int]
) -> dict[str, Any]:
    return {
        "detector": name,
        "align": recipe.align.method,
        "rotation": recipe.align.rotation,
        "size": recipe.part.size,
        "image_auroc": round(auroc(scores[True], scores[False]), 4),
        "not_judged": {"good": lost[True], "defective": lost[False]},
    }


def main(arguments: list[str]) -> None:
    """Print one line for each detector and alignment, and write them as JSON to ``OUT``."""
    given = dict(argument.split("=", 1) for argument in arguments)
    data = Path(given["DATA"])
    names = given.get("DETECTORS", "variation").split(",")
    results = []
    for settings in (["align.method=none"], given.get("SET", "").split() or []):
        recipe = override(Recipe(), settings)
        runs = [partial(measure_detector, data, recipe, name) for name in names if name]
        if "TEACHER" in given:
            runs.append(partial(measure_padim, data, recipe, given["TEACHER"]))
        for run in runs:
            begin = time.perf_counter()
            result = run()
            result["seconds"] = round(time.perf_counter() - begin, 1)
            results.append(result)
            print(json.dumps(result, ensure_ascii=False), flush=True)
    if "OUT" in given:
        Path(given["OUT"]).write_text(json.dumps(results, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
