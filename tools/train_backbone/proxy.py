"""How good a backbone is at finding anomalies, by a plain PaDiM on 100 random dimensions.

``synthetic`` looks at ``train/good`` of a data folder alone: half of the images are fitted, the
other half are scored as they are and with a small defect drawn in (a scratch, a blob, a patch from
elsewhere in the image). Variants of the backbone are chosen by this figure. ``labelled`` fits all
of ``train/good`` and scores ``test``; it is for reporting, after the choice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

Extract = Callable[[np.ndarray], dict[str, np.ndarray]]
DIMENSIONS = 100


def read(folder: Path, side: int) -> np.ndarray:
    """All images of a folder, uint8 (N, side, side, 3) RGB."""
    images = [cv2.imread(str(p), cv2.IMREAD_COLOR_RGB) for p in sorted(folder.iterdir())]
    return np.stack([cv2.resize(i, (side, side), interpolation=cv2.INTER_AREA) for i in images])


def features(extract: Extract, images: np.ndarray, dims: np.ndarray | None) -> np.ndarray:
    """Features at stride 8, 3×3 averaged: float32 (N, cells, channels); ``dims`` picks channels."""
    rows = []
    for image in images:
        maps = extract(image[None])
        side = maps["stride8"].shape[2]
        planes = []
        for value in maps.values():
            plane = value[0].transpose(1, 2, 0)
            if plane.shape[0] != side:
                how = cv2.INTER_AREA if plane.shape[0] > side else cv2.INTER_LINEAR
                plane = np.dstack(
                    [
                        cv2.resize(plane[..., c : c + 4], (side, side), interpolation=how)
                        for c in range(0, plane.shape[2], 4)
                    ]
                )
            planes.append(plane)
        stack = np.concatenate(planes, 2)
        stack = stack if dims is None else stack[..., dims]
        rows.append(cv2.blur(np.ascontiguousarray(stack), (3, 3)).reshape(-1, stack.shape[2]))
    return np.stack(rows)


class Padim:
    """A Gaussian per position (Defard et al. 2021)."""

    def __init__(self, train: np.ndarray) -> None:
        self.mean = train.mean(0)
        centred = (train - self.mean).transpose(1, 0, 2)  # cells, images, channels
        covariance = centred.transpose(0, 2, 1) @ centred / (len(train) - 1)
        level = np.trace(covariance, axis1=1, axis2=2).mean() / train.shape[2]
        covariance += 0.01 * level * np.eye(train.shape[2], dtype=np.float32)
        self.precision = np.linalg.inv(covariance)

    def scores(self, test: np.ndarray) -> np.ndarray:
        """Largest Mahalanobis distance of each image."""
        d = (test - self.mean).transpose(1, 0, 2)
        return np.sqrt(np.einsum("pnc,pnc->np", d @ self.precision, d).clip(0)).max(1)


def spoil(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A copy with one small synthetic defect near the middle."""
    side = image.shape[0]
    out = image.astype(np.float32)
    x, y = rng.uniform(0.2, 0.8, 2) * side
    mask = np.zeros((side, side), np.float32)
    kind = rng.integers(3)
    if kind == 0:
        angle, reach = rng.uniform(0, np.pi), rng.uniform(0.03, 0.12) * side
        steps = np.array([np.cos(angle), np.sin(angle)]) * reach
        start, end = (
            (round((x + s * steps[0]) * 16), round((y + s * steps[1]) * 16)) for s in (-1, 1)
        )
        cv2.line(mask, start, end, 1.0, int(rng.integers(1, 3)), cv2.LINE_AA, 4)
    else:
        axes = tuple(int(max(2, rng.uniform(0.012, 0.045) * side)) for _ in range(2))
        cv2.ellipse(mask, (int(x), int(y)), axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.8)[..., None]
    if kind == 2:  # a patch from elsewhere, turned
        middle, zoom = (side / 2, side / 2), rng.uniform(0.8, 1.25)
        turn = cv2.getRotationMatrix2D(middle, rng.uniform(30, 330), zoom)
        other = cv2.warpAffine(out, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
        out = out * (1 - mask) + other * mask
    else:
        out += mask * rng.choice([-1, 1]) * rng.uniform(25, 90)
    return np.clip(out + 0.5, 0, 255).astype(np.uint8)


def _dims(extract: Extract, seed: int) -> np.ndarray:
    maps = extract(np.zeros((1, 64, 64, 3), np.uint8))
    total = sum(m.shape[1] for m in maps.values())
    return np.sort(np.random.default_rng(seed).permutation(total)[:DIMENSIONS])


def synthetic(extract: Extract, data: Path, side: int, seed: int = 0) -> float:
    """Image AUROC of spoiled against untouched good images."""
    good = read(data / "train" / "good", side)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(good))
    fit, held = good[order[::2]], good[order[1::2]]
    dims = _dims(extract, seed)
    model = Padim(features(extract, fit, dims))
    spoiled = np.stack([spoil(np.random.default_rng([seed, i]), held[i]) for i in range(len(held))])
    scores = np.concatenate(
        [model.scores(features(extract, images, dims)) for images in (held, spoiled)]
    )
    return float(roc_auc_score(np.repeat([0, 1], len(held)), scores))


def labelled(extract: Extract, data: Path, side: int, seed: int = 0) -> float:
    """Image AUROC on ``test``."""
    dims = _dims(extract, seed)
    model = Padim(features(extract, read(data / "train" / "good", side), dims))
    scores, labels = [], []
    for folder in sorted((data / "test").iterdir()):
        found = model.scores(features(extract, read(folder, side), dims))
        scores.append(found)
        labels.append(np.full(len(found), folder.name != "good"))
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(scores)))
