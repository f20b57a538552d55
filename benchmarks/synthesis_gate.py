"""Does the gate of ``synthesize`` let new real parts pass, and nothing else?

Run with::

    python benchmarks/synthesis_gate.py DATA=folder [SETS=casting,magnetic_tile,grid] \
        [COUNTS=20,105] [SEEDS=0,1,2]

``DATA`` holds data folders in the benchmark layout. The gate learns from some good training
images at 128 pixels, as ``synthesize`` does, and judges up to 75 of the others (*new parts*),
exact copies and copies with other light of what it learned, good images of the other sets, noise
and blank images. Only training images are opened.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from results import write_table

from goodpart.generators.base import Shape
from goodpart.generators.config import GateSettings
from goodpart.generators.frame import locate_parts
from goodpart.generators.gate import Gate
from goodpart.generators.images import RealImages
from goodpart.parts.dataset import load_dataset
from goodpart.parts.read import read_image
from goodpart.parts.road import resize_part

SIDE = 128
HELD = 75
Image = NDArray[np.uint8]


def good_images(folder: Path) -> RealImages:
    """All good training images, grey; of sets whose sizes differ, as squares."""
    items = load_dataset(folder).train_good()
    pixels: list[Any] = [read_image(item.path).pixels for item in items]
    grey = [p if p.ndim == 2 else cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pixels]
    if len({image.shape for image in grey}) > 1:
        grey = [resize_part(image, (2 * SIDE, 2 * SIDE)) for image in grey]
    return RealImages(grey, items, [""] * len(items))


def strange(images: list[Image]) -> list[Image]:
    """Good images of other sets, noise, and blank images."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (SIDE, SIDE)).astype(np.uint8) for _ in range(8)]
    blank = [np.full((SIDE, SIDE), level, np.uint8) for level in (0, 60, 128, 200, 255)]
    return [*images, *noise, *blank]


def main() -> None:
    given = {"SETS": "casting,magnetic_tile,grid", "COUNTS": "20,105", "SEEDS": "0,1,2"}
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: holds data folders in the benchmark layout, such as casting")
    names = given["SETS"].split(",")
    sets = {name: good_images(Path(given["DATA"]) / name) for name in names}
    rows = []
    for name, real in sets.items():
        parts = locate_parts(real, lambda height, width, channels: Shape(channels, SIDE, SIDE))
        others = [
            np.asarray(resize_part(pixels, (SIDE, SIDE)))
            for other, images in sets.items()
            if other != name
            for pixels in images.pixels[:8]
        ]
        wrong = [parts.blank(image) for image in strange(others)]
        sources = [item.source for item in parts.real.items]
        for count in map(int, given["COUNTS"].split(",")):
            passed, copied, let_in = [], [], []
            for seed in map(int, given["SEEDS"].split(",")):
                order = np.random.default_rng(seed).permutation(len(parts.pixels))
                learned, held = order[:count], order[count : count + HELD]
                gate = Gate(GateSettings()).fit(
                    [parts.pixels[i] for i in learned],
                    [sources[i] for i in learned],
                    mask=parts.mask,
                    seed=seed,
                )
                passed += [one.kept for one in gate.judge([parts.pixels[i] for i in held])]
                copies = [parts.pixels[i] for i in learned[:8]]
                copies += [parts.blank(cv2.convertScaleAbs(copy, beta=2)) for copy in copies]
                copied += [one.kept for one in gate.judge(copies)]
                let_in += [one.kept for one in gate.judge(wrong)]
            rows.append(
                [name, str(count)]
                + [f"{np.mean(kept):.1%} of {len(kept)}" for kept in (passed, copied, let_in)]
            )
            print(rows[-1], flush=True)
    write_table(
        "synthesis_gate",
        title="What the gate lets pass with its default settings",
        columns=("set", "learned from", "new parts", "copies", "other parts, noise, blank"),
        rows=rows,
        command="python benchmarks/synthesis_gate.py DATA=folder",
    )


if __name__ == "__main__":
    main()
