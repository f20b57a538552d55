"""Write folders of rendered parts and trays, named and tagged as rendered, never to be mistaken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from goodpart.errors import DataError, RecipeError
from goodpart.parts.render.layout import Layout, lay_out
from goodpart.parts.render.part import check_range, render_part
from goodpart.parts.render.tray import render_tray
from goodpart.parts.render.truth import (
    DEFECTS,
    NORMAL,
    Defect,
    Image,
    Kind,
    check_defect,
    check_kind,
)

SOURCE = "rendered by goodpart"
TRUTH_NAME = "truth.json"
TRAIN_SHARE = 0.8
USUAL_DEFECTS: tuple[Defect, ...] = ("Bending", "Stain", "Reverse")

FolderLayout = Literal["classes", "benchmark"]
Progress = Callable[[int, int], None]


def write_parts(
    root: str | Path,
    *,
    kind: Kind = "cap",
    normal: int = 120,
    defective: int = 20,
    defects: Sequence[Defect] = USUAL_DEFECTS,
    severity: float | None = None,
    size: int = 480,
    layout: FolderLayout = "classes",
    seed: int = 0,
    variation: float = 1.0,
    noise: float = 1.0,
    tilt: float = 0.0,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write a data folder of rendered part images.

    Parameters
    ----------
    root : str or Path
        Created when it is missing; must be empty unless `force`.
    kind : {"cap", "notched", "tab"}
    normal, defective : int
        How many normal parts, and how many of each class of `defects`.
    defects : sequence of {"Bending", "Stain", "Reverse", "Scratch"}
    severity : float, optional
        0 to 1 for all; when not given, each class covers 0 to 1 evenly.
    size : int
        Width and height in pixels.
    layout : {"classes", "benchmark"}
        Class folders ``Normal``, ``Bending``, ...; or ``train/good``, ``test/good``,
        ``test/<defect>`` and ``ground_truth/<defect>/<name>_mask.png``, with 80 % of the normal
        parts to train on.
    seed : int
        The same seed gives the same files; more parts of a class leave its first ones as they were.
    variation, noise, tilt : float
        As in :func:`render_part`.
    force : bool
        Write into a folder that is not empty: earlier rendered pictures there are removed, nothing
        else is touched.
    progress : callable, optional
        Called with (written, total) after each picture.

    Returns
    -------
    list of Path
        The part images (without the masks), in the order of writing.

    Raises
    ------
    DataError
        When the folder is not empty, or is a file.
    RecipeError
        For an unknown kind, defect or layout, or a number outside its range.
    """
    _check_request(kind, defects, normal, defective)
    if layout not in ("classes", "benchmark"):
        raise RecipeError(f"folder layout '{layout}' is unknown: choose classes or benchmark")
    root = _prepare(Path(root), force)
    total = normal + defective * len(defects)
    written: list[Path] = []
    for label, number, degree, rng in _jobs(normal, defective, defects, severity, seed):
        defect = None if label == NORMAL else label
        part = render_part(
            kind,
            rng,
            size=size,
            defect=defect,
            severity=degree,
            variation=variation,
            noise=noise,
            tilt=tilt,
        )
        name = f"rendered_{kind}_{len(written) + 1:04d}"
        side = "train" if number < round(TRAIN_SHARE * normal) else "test"
        if layout == "classes":
            path = root / label / f"{name}.png"
        elif defect is None:
            path = root / side / "good" / f"{name}.png"
        else:
            path = root / "test" / label / f"{name}.png"
            mask_path = root / "ground_truth" / label / f"{name}_mask.png"
            _write_png(mask_path, part.mask, {"Kind": kind, "Class": label})
        text = {"Kind": kind, "Class": label}
        if defect is not None:
            text["Severity"] = f"{degree:.3f}"
        _write_png(path, part.image, text)
        written.append(path)
        if progress is not None:
            progress(len(written), total)
    return written


def write_trays(
    root: str | Path,
    *,
    kind: Kind = "cap",
    normal: int = 20,
    defective: int = 4,
    defects: Sequence[Defect] = USUAL_DEFECTS,
    per_tray: int | None = None,
    severity: float | None = None,
    size: tuple[int, int] = (2448, 2048),
    layout: Layout = "five",
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> list[Path]:
    """Write class folders of rendered trays and their ground truth in ``truth.json``.

    Parameters
    ----------
    root : str or Path
        As in :func:`write_parts`.
    kind : {"cap", "notched", "tab"}
    normal, defective : int
        How many trays of good parts, and how many for each class of `defects`.
    defects : sequence of {"Bending", "Stain", "Reverse", "Scratch"}
    per_tray : int, optional
        How many parts of a defective tray have its defect; all of them when not given, as people
        sort trays into class folders.
    severity : float, optional
        0 to 1 for all; drawn for each part when not given.
    size : (int, int)
        Width and height in pixels.
    layout : "five" or (int, int)
    seed : int
    force, progress
        As in :func:`write_parts`.
    **options
        Further options of :func:`render_tray`, such as ``tilt``, ``empty`` or ``jitter``.

    Returns
    -------
    list of Path
        The tray images. ``truth.json`` holds ``{"source", "trays": {"<class>/<file>": truth}}``,
        with the fields of :class:`TrayTruth`.

    Raises
    ------
    DataError, RecipeError
        As :func:`write_parts` and :func:`render_tray`.
    """
    _check_request(kind, defects, normal, defective)
    names = [pocket.name for pocket in lay_out(layout, size, (0.0, 0.0), 0.0)]
    if per_tray is not None:
        check_range("per_tray", per_tray, 1, len(names))
    root = _prepare(Path(root), force)
    total = normal + defective * len(defects)
    truths: dict[str, Any] = {}
    written: list[Path] = []
    for label, _, _, rng in _jobs(normal, defective, defects, severity, seed):
        chosen = rng.permutation(names)[:per_tray].tolist()
        wanted = {} if label == NORMAL else dict.fromkeys(chosen, label)
        tray = render_tray(
            kind,
            rng,
            size=size,
            layout=layout,
            defects=wanted,
            severity=severity,
            **options,
        )
        path = root / label / f"rendered_{kind}_tray_{len(written) + 1:04d}.png"
        _write_png(path, tray.image, {"Kind": kind, "Class": label})
        truths[f"{label}/{path.name}"] = tray.truth.to_dict()
        written.append(path)
        if progress is not None:
            progress(len(written), total)
    text = json.dumps({"source": SOURCE, "trays": truths}, indent=1)
    (root / TRUTH_NAME).write_text(text + "\n", encoding="utf-8")
    return written


def _check_request(kind: str, defects: Sequence[str], normal: int, defective: int) -> None:
    check_kind(kind)
    for defect in defects:
        check_defect(defect)
    check_range("normal", normal, 0, 1_000_000)
    check_range("defective", defective, 0, 1_000_000)


def _jobs(
    normal: int, defective: int, defects: Sequence[Defect], severity: float | None, seed: int
) -> Iterator[tuple[Any, int, float | None, np.random.Generator]]:
    """Class, number within the class, severity and generator of each picture to write."""
    for number in range(normal):
        yield NORMAL, number, None, np.random.default_rng([seed, 0, number])
    for defect in defects:
        # A class has its own generators, whichever others are asked for.
        own = 1 + DEFECTS.index(defect)
        for number in range(defective):
            degree = (number + 0.5) / defective if severity is None else severity
            yield defect, number, degree, np.random.default_rng([seed, own, number])


def _prepare(root: Path, force: bool) -> Path:
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is a file: name a folder to write to")
    if root.is_dir() and any(root.iterdir()):
        if not force:
            raise DataError(f"{root} is not empty: name another folder, or use --force")
        for stale in [*root.rglob("rendered_*.png"), *root.glob(TRUTH_NAME)]:
            stale.unlink()
    root.mkdir(parents=True, exist_ok=True)
    return root


def _write_png(path: Path, image: Image, text: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    for key, value in {"Source": SOURCE, **text}.items():
        info.add_text(key, value)
    PillowImage.fromarray(image).save(path, pnginfo=info, compress_level=1)
