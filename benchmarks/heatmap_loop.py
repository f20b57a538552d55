"""Heatmap and score of one 480×480 image: goodpart against a plain double loop over the pixels.

Run with::

    python benchmarks/heatmap_loop.py [REPEATS=20]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import write_table

from goodpart.detectors.autoencoder_scores import LEVEL, heatmap, variance_score

SIDE = 480


def by_loop(
    image: NDArray[np.uint8], reconstruction: NDArray[np.float32]
) -> tuple[list[list[int]], float]:
    """The same heatmap and score, pixel by pixel in Python."""
    drawn, large = [], []
    for y in range(SIDE):
        line = []
        for x in range(SIDE):
            restored = round(min(max(float(reconstruction[y, x]), 0.0), 1.0) * 255)
            difference = abs(int(image[y, x]) - restored)
            line.append(difference)
            if difference > LEVEL:
                large.append(float(difference))
        drawn.append(line)
    return drawn, statistics.pvariance(large) if large else 0.0


def by_goodpart(
    image: NDArray[np.uint8], reconstruction: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Vectorised."""
    drawn = heatmap(image, reconstruction)
    return drawn, variance_score(drawn)


def median_ms(call: Callable[[], Any], repeats: int) -> float:
    """Median time in milliseconds."""
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        spent.append((time.perf_counter() - begin) * 1e3)
    return statistics.median(spent)


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    repeats = int(given.get("REPEATS", 20))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    reconstruction = (image / 255 + rng.normal(0, 0.25, (SIDE, SIDE))).astype(np.float32)
    slow, fast = by_loop(image, reconstruction), by_goodpart(image, reconstruction)
    # 32-bit numbers may round a half the other way than Python's 64-bit ones: one grey level.
    assert np.abs(np.array(slow[0]) - fast[0]).max() <= 1
    assert abs(slow[1] - fast[1]) < 1e-3 * slow[1]
    loop = median_ms(lambda: by_loop(image, reconstruction), max(3, repeats // 5))
    vectorised = median_ms(lambda: by_goodpart(image, reconstruction), repeats)
    rows = [
        ["double loop over the pixels", f"{loop:.1f} ms", "1"],
        ["goodpart", f"{vectorised:.2f} ms", f"{loop / vectorised:.0f}"],
    ]
    for cells in rows:
        print("  ".join(cells))
    write_table(
        "heatmap_loop",
        title="Heatmap and score of one 480×480 image",
        columns=["how", "median time", "times as fast"],
        rows=rows,
    )


if __name__ == "__main__":
    main()
