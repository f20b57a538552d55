"""How well and how fast parts are found on trays.

Renders trays with exact ground truth (jitter, slant, light that falls off to one side, empty
pockets), learns a recipe from the first of each kind as ``goodpart prepare --learn`` does, and
compares what is found on all of them with the truth::

    python benchmarks/prepare_trays.py
    python benchmarks/prepare_trays.py --count 30 --real ../shared/seed/real_caps --json out.json

Parts cut off by the border or touching each other, and defective ones, are added with ``--hard``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from goodpart.parts.dataset import image_files
from goodpart.parts.find import Found, TrayFinder, create_finder
from goodpart.parts.learn_tray import LEARN_TRAYS, learn_tray
from goodpart.parts.read import read_image
from goodpart.parts.render import RenderedTray, TrayTruth, render_tray
from goodpart.parts.render.truth import Kind
from goodpart.parts.warp import warp_part
from goodpart.recipe import TraySection

SHARES: dict[Kind, float] = {"cap": 0.4, "notched": 0.3, "tab": 0.3}
USUAL = {"jitter": 0.06, "tilt": 4.0, "gradient": 0.4, "empty": 0.1}
HARD = {"cut_off": 0.08, "touching": 0.08, "defect_probability": 0.2}
# A part counts as found where it is this near to where it is, share of its radius.
NEAR = 0.15


def rendered(kind: Kind, count: int, seed: int, hard: bool) -> list[RenderedTray]:
    """Trays of one kind; the same seed gives the same trays."""
    options: dict[str, Any] = {**USUAL, **(HARD if hard else {})}
    return [
        render_tray(kind, np.random.default_rng([seed, number]), **options)
        for number in range(count)
    ]


def learned(trays: list[RenderedTray], kind: Kind) -> TrayFinder:
    """A finder for what --learn makes of the trays; the mode of a kind that must be turned."""
    section = TraySection(mode="none" if kind == "cap" else "template")
    step = max(1, len(trays) // LEARN_TRAYS)
    sample = trays[::step]
    section, arrays = learn_tray(section, len(sample), lambda index: sample[index].image)
    finder = create_finder(section, arrays)
    assert finder is not None
    return finder


def compare(trays: list[RenderedTray], finder: TrayFinder, kind: Kind) -> dict[str, Any]:
    """Recall, precision and errors of what is found."""
    counts = {"parts": 0, "found": 0, "false": 0, "empty": 0, "empty_right": 0, "named_right": 0}
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    missed = []
    for number, tray in enumerate(trays):
        found = finder.find(tray.image, f"{number}.bmp")
        _match(tray.truth, found, number, counts, pairs, missed)
    errors = _errors(pairs, finder, kind)
    recall = counts["found"] / max(1, counts["parts"])
    return {
        "trays": len(trays),
        **counts,
        "recall": recall,
        "precision": counts["found"] / max(1, counts["found"] + counts["false"]),
        **errors,
        "missed": missed,
    }


def _match(
    truth: TrayTruth,
    found: list[Found],
    number: int,
    counts: dict[str, int],
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    missed: list[str],
) -> None:
    left = [one for one in found if one.seen]
    by_pocket = {one.pocket: one for one in found}
    for pocket in truth.pockets:
        if pocket.part is None:
            counts["empty"] += 1
            one = by_pocket.get(pocket.name)
            counts["empty_right"] += one is not None and one.problem is not None
            continue
        counts["parts"] += 1
        place = np.array(pocket.part.centre)
        near = [one for one in left if _away(one, place) < NEAR * pocket.part.radius]
        if not near:
            missed.append(f"{number} {pocket.name} {pocket.part.label}")
            continue
        best = min(near, key=lambda one: _away(one, place))
        left.remove(best)
        counts["found"] += 1
        counts["named_right"] += best.pocket == pocket.name
        # Where the border hides half of a part there is nothing to measure it by.
        if not pocket.cut_off:
            pairs.append((best.matrix, np.array(pocket.part.matrix)))
    counts["false"] += len(left)


def _away(one: Found, place: NDArray[np.float64]) -> float:
    middle = np.array([(one.size[1] - 1) / 2, (one.size[0] - 1) / 2, 1.0])
    return float(np.linalg.norm((one.matrix @ middle)[:2] - place))


def _errors(
    pairs: list[tuple[NDArray[np.float64], NDArray[np.float64]]], finder: TrayFinder, kind: Kind
) -> dict[str, Any]:
    """95th percentiles of the errors of centre (px of the tray), scale (%) and angle (degrees).

    A round part's cut image says where its centre and outline are. Which place of an example is
    the part's centre is nobody's choice: there the middle of all of them is taken, and the errors
    are what differs from part to part.
    """
    spots = finder.spots
    assert spots is not None
    if kind == "cap":
        middle = [(spots.size[1] - 1) / 2, (spots.size[0] - 1) / 2]
        radius = finder.section.radius or 0.0
        common = np.array([[radius, 0, middle[0]], [0, radius, middle[1]], [0, 0, 1]])
    else:
        common = np.median([np.linalg.inv(cut) @ true for cut, true in pairs], axis=0)
    centres, scales, angles = [], [], []
    for cut, true in pairs:
        got = cut @ common
        centres.append(float(np.linalg.norm(got[:2, 2] - true[:2, 2])))
        ratio = np.linalg.det(got[:2, :2]) / np.linalg.det(true[:2, :2])
        scales.append(abs(float(np.sqrt(ratio)) - 1) * 100)
        turn = np.linalg.inv(true[:2, :2]) @ got[:2, :2]
        angles.append(abs(float(np.rad2deg(np.arctan2(turn[1, 0] - turn[0, 1], np.trace(turn))))))
    return {
        "measured": len(pairs),
        "centre_px_p95": _p95(centres),
        "scale_percent_p95": _p95(scales),
        "angle_degrees_p95": None if kind == "cap" else _p95(angles),
    }


def _p95(values: list[float]) -> float:
    return round(float(np.quantile(values, 0.95)), 4)


def timing(trays: list[RenderedTray], finder: TrayFinder, rounds: int) -> dict[str, Any]:
    """Milliseconds from the bytes of a BMP to the part images, of trays with all their parts."""
    full = [tray for tray in trays if not any(pocket.empty for pocket in tray.truth.pockets)]
    files = []
    for tray in full[:rounds]:
        buffer = io.BytesIO()
        Image.fromarray(tray.image).save(buffer, "BMP")
        files.append(buffer.getvalue())
    wall, cpu = [], []
    for index, data in enumerate(files[:1] * 3 + files):
        start, used = time.perf_counter(), time.process_time()
        image = read_image(data)
        for one in finder.find(image.pixels, "tray.bmp"):
            if one.problem is None:
                warp_part(image.pixels, one.matrix, one.size)
        if index >= 3:  # the first ones warm up
            wall.append((time.perf_counter() - start) * 1e3)
            cpu.append((time.process_time() - used) * 1e3)
    return {
        "timed": len(files),
        "wall_ms_p50": round(float(np.median(wall)), 1),
        "cpu_ms_p50": round(float(np.median(cpu)), 1),
    }


def real_images(folder: Path) -> dict[str, Any]:
    """Images of one part each: all found, and how far from the middle each lies afterwards."""
    paths = image_files(folder)
    images = [read_image(path).pixels for path in paths]
    section, arrays = learn_tray(TraySection(), len(images), lambda index: images[index])
    finder = create_finder(section, arrays)
    assert finder is not None
    off: list[float] = []
    for path, pixels in zip(paths, images, strict=True):
        found = [one for one in finder.find(pixels, path.name) if one.problem is None]
        for one in found:
            off.append(_off_centre(warp_part(pixels, one.matrix, one.size)))
    return {
        "images": len(paths),
        "found": len(off),
        "mode": section.mode,
        "off_centre_px_max": round(max(off, default=float("nan")), 3),
    }


def _off_centre(part: NDArray[Any]) -> float:
    """Distance of the filled silhouette's centre from the image's, by brightness alone."""
    grey = part if part.ndim == 2 else cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    _, binary = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(binary, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    (x, y), _, _ = cv2.fitEllipse(max(outlines, key=cv2.contourArea))
    return float(np.hypot(x - (part.shape[1] - 1) / 2, y - (part.shape[0] - 1) / 2))


def write_results(answer: dict[str, Any]) -> None:
    """The table that docs/prepare.md shows."""
    from results import write_table

    rows = []
    for kind, result in answer["kinds"].items():
        angle = result["angle_degrees_p95"]
        rows.append(
            [
                kind,
                f"{result['trays']}",
                f"{result['parts']}",
                f"{result['recall']:.4f}",
                f"{result['precision']:.4f}",
                f"{result['centre_px_p95']:.2f}",
                f"{result['scale_percent_p95']:.2f}",
                "" if angle is None else f"{angle:.2f}",
                f"{result['cpu_ms_p50']:.0f}",
                f"{result['wall_ms_p50']:.0f}",
            ]
        )
    if "real" in answer:
        real = answer["real"]
        found = f"{real['found'] / real['images']:.4f}"
        off = f"{real['off_centre_px_max']:.2f} (worst)"
        rows.append(["real caps", "", f"{real['images']}", found, "", off, "", "", "", ""])
    write_table(
        "prepare_trays",
        title="Parts found on rendered trays of 2448x2048 pixels"
        f" (load of the machine while timing: {answer['load']})",
        columns=[
            "kind",
            "trays",
            "parts",
            "recall",
            "precision",
            "centre p95, px",
            "scale p95, %",
            "angle p95, °",
            "CPU ms p50",
            "wall ms p50",
        ],
        rows=rows,
        command="python benchmarks/prepare_trays.py --real REAL_CAPS --table",
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="trays, of all kinds together")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--hard", action="store_true", help="also cut off, touching, defective")
    parser.add_argument("--timed", type=int, default=25, help="trays to time, of each kind")
    parser.add_argument("--real", type=Path, help="folder of real images with one part each")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", action="store_true", help="write the documentation's table")
    arguments = parser.parse_args()
    cv2.setNumThreads(2)
    answer: dict[str, Any] = {"seed": arguments.seed, "hard": arguments.hard, "kinds": {}}
    for place, (kind, share) in enumerate(SHARES.items()):
        count = max(2, round(arguments.count * share))
        trays = rendered(kind, count, arguments.seed + place, arguments.hard)
        finder = learned(trays, kind)
        result = compare(trays, finder, kind)
        result |= timing(trays, finder, arguments.timed)
        answer["kinds"][kind] = result
        shown = {key: value for key, value in result.items() if key != "missed"}
        print(kind, json.dumps(shown), *result["missed"], sep="\n  ", flush=True)
    totals = {
        key: sum(result[key] for result in answer["kinds"].values())
        for key in ("trays", "parts", "found", "false")
    }
    answer["recall"] = totals["found"] / totals["parts"]
    answer["precision"] = totals["found"] / (totals["found"] + totals["false"])
    answer["load"] = round(os.getloadavg()[0], 1)
    print(
        f"{totals['trays']} trays: recall {answer['recall']:.4f}, "
        f"precision {answer['precision']:.4f} of {totals['parts']} parts "
        f"(load of the machine {answer['load']})"
    )
    if arguments.real is not None:
        answer["real"] = real_images(arguments.real)
        print("real", json.dumps(answer["real"]))
    if arguments.table:
        write_results(answer)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
