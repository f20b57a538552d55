"""Draw the pictures of the documentation, from rendered parts alone.

    python tools/make_doc_images.py

Renders caps, trains the default model on them, and writes docs/images/. The screenshot of the
report needs Chromium (or chromium-headless-shell) on the PATH and is left out without it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from goodpart.decision.pictures import png_bytes, render_heatmap, render_overlay
from goodpart.drawing import as_picture
from goodpart.evaluation.evaluate import evaluate, require_test_items
from goodpart.evaluation.report import write_report
from goodpart.fitting import fit
from goodpart.model import Model
from goodpart.parts.contact_sheet import contact_sheet
from goodpart.parts.dataset import load_dataset
from goodpart.parts.render import render_part, write_parts

OUT = Path(__file__).parents[1] / "docs" / "images"
HEIGHT = 300
CLASSES = {"Normal": None, "Bending": 0.8, "Stain": 0.7, "Reverse": 0.5}


def caps() -> None:
    """One cap of each class."""
    pictures = []
    for label, severity in CLASSES.items():
        defect = None if label == "Normal" else label
        part = render_part("cap", np.random.default_rng(7), defect=defect, severity=severity)
        pictures.append((part.image, label))
    (OUT / "caps.png").write_bytes(png_bytes(contact_sheet(pictures, columns=4)))


def inspection(model: Model, data: Path) -> None:
    """A good and a stained cap, each as part, heatmap and overlay."""
    items = load_dataset(data).test()
    stains = [model.inspect(item.path) for item in items if item.label == "Stain"]
    stain = max(stains, key=lambda found: found.score or 0.0)
    good = model.inspect(next(item.path for item in items if item.good))
    rows = []
    for found in (good, stain):
        overlay = render_overlay(found, model.heat_scale)
        assert found.image is not None and found.score_map is not None and overlay is not None
        heatmap = render_heatmap(found.score_map, model.heat_scale)
        part, _ = as_picture(found.image)
        row = [fit_height(picture) for picture in (part, heatmap, overlay)]
        rows.append(np.concatenate(row, axis=1))
    (OUT / "inspection.png").write_bytes(png_bytes(np.concatenate(rows)))


def fit_height(picture: np.ndarray) -> np.ndarray:
    """Resize to a common height."""
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return np.asarray(cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA))


def report(model: Model, data: Path, scratch: Path) -> None:
    """The upper part of the report, as a browser shows it."""
    dataset = load_dataset(data)
    result = evaluate(model, require_test_items(dataset))
    page = write_report(scratch / "report", [model], [result], dataset, names=["caps"])
    browser = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if browser is None:
        print("no Chromium: docs/images/report.png stays as it is", file=sys.stderr)
        return
    options = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync"
    options += " --disable-background-networking --disable-component-update --hide-scrollbars"
    picture = scratch / "report.png"
    subprocess.run(
        [
            browser,
            *options.split(),
            f"--user-data-dir={scratch / 'browser'}",
            "--window-size=1100,1240",
            f"--screenshot={picture}",
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
    )
    shot = cv2.imread(str(picture))
    small = cv2.resize(shot, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT / "report.png"), small, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def main() -> None:
    """Draw all of them."""
    OUT.mkdir(parents=True, exist_ok=True)
    caps()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = scratch / "caps"
        write_parts(data, normal=150, defective=20, size=384, layout="benchmark")
        model = fit(data)
        inspection(model, data)
        report(model, data, scratch)


if __name__ == "__main__":
    main()
