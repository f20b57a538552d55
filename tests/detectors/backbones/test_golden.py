"""The shipped backbone gives the numbers it gave when its weights were committed.

After new weights: ``python tests/detectors/backbones/test_golden.py`` writes them again.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from goodpart.detectors.backbones import load_backbone

FILE = Path(__file__).with_name("golden.json")


def rings() -> np.ndarray:
    """A round part on a mesh, from formulas alone: uint8 (64, 96, 3)."""
    y, x = np.mgrid[:64, :96].astype(np.float64)
    radius = np.hypot(x - 40, y - 30)
    ground = 90 + 30 * np.sin(x / 3) * np.sin(y / 4)
    part = 150 + 60 * np.cos(radius / 2.5) + x / 3
    grey = np.where(radius < 25, part, ground)
    return np.clip(np.dstack([grey, grey * 0.9, 255 - grey]), 0, 255).astype(np.uint8)


def measure() -> dict[str, object]:
    """A few numbers of every feature map, and the hash of the weights."""
    backbone = load_backbone("goodpart")
    found: dict[str, object] = {"sha256": backbone.sha256}
    for name, maps in backbone.session(threads=1)(rings()[None]).items():
        rows, columns = maps.shape[2:]
        found[name] = {
            "mean": float(maps.mean()),
            "deviation": float(maps.std()),
            "centre": [float(v) for v in maps[0, :8, rows // 2, columns // 2]],
            "corner": [float(v) for v in maps[0, -8:, 0, 0]],
        }
    return found


def test_features_of_a_drawn_part_are_the_golden_ones() -> None:
    golden, found = json.loads(FILE.read_text()), measure()
    assert found["sha256"] == golden["sha256"], "new weights: write golden.json again"
    for name in ("stride4", "stride8"):
        for key, value in golden[name].items():
            np.testing.assert_allclose(
                found[name][key], value, rtol=1e-3, atol=1e-4, err_msg=f"{name} {key}"
            )


if __name__ == "__main__":
    FILE.write_text(json.dumps(measure(), indent=1) + "\n")
