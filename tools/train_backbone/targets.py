"""What the student follows: the teacher's features in whitened coordinates.

Anomaly detectors measure Mahalanobis distances, in which a direction of small variance counts as
much as one of large variance; a plain squared error on the teacher's channels would leave the
small ones unlearned. So each level is centred and turned to its principal axes, and each axis
divided by its deviation, with a floor for axes that are mostly noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

LEVELS = ("stride4", "stride8", "stride16")


def whitening(samples: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (C,) and matrix (C, C) of ``matrix @ (feature - mean)`` from samples (n, C)."""
    mean = samples.mean(0)
    values, axes = np.linalg.eigh(np.cov(samples.T))
    order = np.argsort(values)[::-1]
    values, axes = np.maximum(values[order], 0), axes[:, order]
    scale = 1 / np.sqrt(values + floor * values.mean())
    return mean.astype(np.float32), (axes * scale).T.astype(np.float32)


def make(
    pool: dict[str, np.memmap], images: int, floor: float, path: Path
) -> dict[str, np.ndarray]:
    """Whitening of every level from the first ``images`` of the pool; kept beside the run."""
    if not path.exists():
        found = {}
        for level in LEVELS:
            values = np.asarray(pool[level][:images], np.float32)
            samples = values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1])
            rng = np.random.default_rng(0)
            chosen = samples[rng.choice(len(samples), min(len(samples), 200_000), replace=False)]
            found[f"{level}.mean"], found[f"{level}.matrix"] = whitening(
                chosen.astype(np.float64), floor
            )
        save_file(found, path)
    return load_file(path)
