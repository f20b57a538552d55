"""Weights that the tests of this room share."""

from __future__ import annotations

import numpy as np
import pytest

MOBILENET_STAGES = ((1, 16, 24, 2), (2, 24, 32, 3), (3, 32, 64, 4), (4, 64, 96, 3))


@pytest.fixture
def mobilenet_weights() -> dict[str, np.ndarray]:
    """Random weights named and shaped like timm's mobilenetv2_100, normalisation not folded."""
    rng = np.random.default_rng(0)
    weights: dict[str, np.ndarray] = {}

    def conv(name: str, norm: str, out: int, into: int, kernel: int) -> None:
        scale = (2 / (into * kernel * kernel)) ** 0.5
        shape = (out, into, kernel, kernel)
        weights[f"{name}.weight"] = rng.normal(0, scale, shape).astype(np.float16)
        weights[f"{norm}.weight"] = rng.uniform(0.5, 1.5, out).astype(np.float32)
        weights[f"{norm}.bias"] = rng.normal(0, 0.2, out).astype(np.float32)
        weights[f"{norm}.running_mean"] = rng.normal(0, 0.2, out).astype(np.float32)
        weights[f"{norm}.running_var"] = rng.uniform(0.5, 2, out).astype(np.float32)

    conv("conv_stem", "bn1", 32, 3, 3)
    conv("blocks.0.0.conv_dw", "blocks.0.0.bn1", 32, 1, 3)
    conv("blocks.0.0.conv_pw", "blocks.0.0.bn2", 16, 32, 1)
    for stage, into, out, repeats in MOBILENET_STAGES:
        for index in range(repeats):
            name, width = f"blocks.{stage}.{index}", into if index == 0 else out
            conv(f"{name}.conv_pw", f"{name}.bn1", 6 * width, width, 1)
            conv(f"{name}.conv_dw", f"{name}.bn2", 6 * width, 1, 3)
            conv(f"{name}.conv_pwl", f"{name}.bn3", out, 6 * width, 1)
    return weights
