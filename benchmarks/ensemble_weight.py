"""How much the memory should count in ``ensemble``, on good images and synthetic defects alone.

    python benchmarks/ensemble_weight.py DATA=../shared/data [SIZE=1500]

Half of ``train/good`` is learned; the other half is scored, each image as it is and with two drawn
defects. Images are not aligned: as they are, at random angles (what lies outside repeats the
image), in random quarter turns, as random windows of seven tenths of their side, or with half of
them inverted, which stands for a product of two kinds. Image AUROC for each weight of the memory;
the first column is the Gaussians alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from results import write_table

from goodpart.decision.metrics import auroc
from goodpart.detectors.ensemble import Ensemble
from goodpart.parts.read import read_image
from goodpart.parts.synthetic import KINDS, add_defect

SITUATIONS = {
    "casting": ("as they are", "any angle", "two kinds"),
    "magnetic_tile": ("as they are", "windows"),
    "grid": ("as they are", "quarter turns", "windows"),
}
WEIGHTS = (0.0, 0.5, 1.0, 2.0)
SIDE = 384


def shown(pixels: NDArray[np.uint8], how: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image in a situation, square."""
    height, width = pixels.shape
    if how == "any angle":
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(0, 360), 1.0)
        border = cv2.BORDER_REFLECT
        pixels = np.asarray(cv2.warpAffine(pixels, turn, (width, height), borderMode=border))
    elif how == "windows":
        side = int(0.7 * min(height, width))
        y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
        pixels = pixels[y : y + side, x : x + side]
    elif how == "quarter turns":
        pixels = np.rot90(pixels, rng.integers(4))
    elif how == "two kinds" and rng.random() < 0.5:
        pixels = 255 - pixels
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def measure(folder: Path, how: str, size: int) -> list[float]:
    """Image AUROC for each weight."""
    rng = np.random.default_rng(0)
    images = []
    for path in sorted((folder / "train" / "good").iterdir()):
        pixels = read_image(path).pixels
        grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        images.append(shown(np.asarray(grey, np.uint8), how, rng))
    half = len(images) // 2
    detector = Ensemble(turns=False, size=size).fit(images[:half])
    good = images[half:]
    kinds = [KINDS[index % len(KINDS)] for index in range(2 * len(good))]
    bad = [add_defect(good[i // 2], rng, kind=kind).pixels for i, kind in enumerate(kinds)]
    scores = []
    for image in (*good, *bad):
        cells = detector.cells_(image)
        first, second = detector.gaussians_.score_map(cells), detector.rare_.score_map(cells)
        scores.append([float((first + weight * second).max()) for weight in WEIGHTS])
    table = np.array(scores)
    found = [auroc(column[: len(good)], column[len(good) :]) for column in table.T]
    assert all(value is not None for value in found)
    return [float(value) for value in found if value is not None]


def main() -> None:
    """Print the table and keep it for the documentation."""
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if "DATA" not in options:
        sys.exit("usage: python benchmarks/ensemble_weight.py DATA=folder [SIZE=1500]")
    size = int(options.get("SIZE", "1500"))
    rows, values = [], []
    for name, situations in SITUATIONS.items():
        for how in situations:
            values.append(measure(Path(options["DATA"]) / name, how, size))
            rows.append([name, how, *(f"{value:.3f}" for value in values[-1])])
            print("  ".join(rows[-1]), flush=True)
    rows.append(["mean", "", *(f"{value:.4f}" for value in np.mean(values, axis=0))])
    write_table(
        "ensemble_weight",
        title="Weights of the memory in ensemble: image AUROC, drawn defects on training images",
        columns=["set", "images", *(f"weight {weight:g}" for weight in WEIGHTS)],
        rows=rows,
        command=f"python benchmarks/ensemble_weight.py DATA=data SIZE={size}",
    )


if __name__ == "__main__":
    main()
