"""Trays to part images on disk: a data folder that every verb accepts, and its index.

Each tray's parts are written first and then listed in the index (:mod:`.prepare_index`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from goodpart.drawing import as_picture
from goodpart.errors import DataError, ImageError
from goodpart.parts.dataset import GOOD, INDEX_NAME, SHEET_NAME, image_files, is_good_name
from goodpart.parts.find import Found, TrayFinder, create_finder
from goodpart.parts.prepare_index import COLUMNS, append, begin, read_index
from goodpart.parts.read import SourceImage, read_image
from goodpart.parts.warp import warp_part
from goodpart.progress import Progress, track
from goodpart.recipe import Recipe, dump_recipe

PARQUET_NAME = "index.parquet"
SHEET_IMAGES = 60


@dataclass
class Summary:
    """What a run did.

    Parameters
    ----------
    trays, new : int
        Trays in the folder, and those that were worked on now.
    parts : int
        Part images written now.
    reasons : dict of str to int
        How many pockets or trays gave no part image, by reason.
    messages : list of str
        What a person should know: empty pockets apart, each thing that was left out.
    """

    trays: int = 0
    new: int = 0
    parts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "trays": self.trays,
            "new": self.new,
            "parts": self.parts,
            "not_cut": dict(self.reasons),
            "messages": self.messages,
        }


@dataclass(frozen=True)
class TrayFile:
    """A tray image on disk.

    Parameters
    ----------
    path : Path
    name : str
        Relative to the folder of trays, with ``/``: what the index calls it.
    stem : str
        What its part images are called, before the pocket.
    """

    path: Path
    name: str
    stem: str

    @property
    def folder(self) -> Path:
        """Folder relative to the root."""
        return Path(self.name).parent

    @property
    def label(self) -> str:
        """Class, as data folders name it; images right in the root are good."""
        folder = self.folder.name
        return GOOD if folder == "" or is_good_name(folder) else folder


def find_trays(root: str | Path, *, without: str | Path | None = None) -> list[TrayFile]:
    """The tray images of a folder: right in it, and in its class folders.

    Parameters
    ----------
    root : path
    without : path, optional
        A folder whose images are no trays, such as the one that part images are written to.

    Raises
    ------
    DataError
        The folder is missing or holds no image.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give a folder of tray images")
    hidden = None if without is None else Path(without).resolve()
    if hidden == root.resolve():
        raise DataError(f"{root}: holds the trays; write the part images to another folder")
    found: list[TrayFile] = []
    for folder in _folders(root):
        if hidden is not None and folder.resolve().is_relative_to(hidden):
            continue
        taken: set[str] = set()
        for path in image_files(folder):
            stem = path.stem
            if stem.casefold() in taken:
                stem = f"{path.stem}_{path.suffix[1:]}"  # a.bmp beside a.png
            taken.add(stem.casefold())
            found.append(TrayFile(path, path.relative_to(root).as_posix(), stem))
    if not found:
        raise DataError(f"{root}: no images found; put trays into it or into class folders")
    return found


def _folders(root: Path) -> Iterator[Path]:
    yield root
    for folder in sorted(root.rglob("*")):
        parts = folder.relative_to(root).parts
        hidden = any(part.startswith(".") or part == "ground_truth" for part in parts)
        if folder.is_dir() and not hidden:
            yield folder


def grey_reader(trays: Sequence[TrayFile], recipe: Recipe) -> Any:
    """A reader of trays by index, for :func:`goodpart.parts.learn_tray.learn_tray`."""

    def read(index: int) -> NDArray[Any]:
        return finding_pixels(read_image(trays[index].path, limits=recipe.input), recipe)

    return read


def finding_pixels(image: SourceImage, recipe: Recipe) -> NDArray[Any]:
    """Pixels in the range 0..255 in which parts are looked for, (H, W) or (H, W, 3)."""
    pixels = image.pixels
    if pixels.dtype == np.uint8:
        return pixels
    white = recipe.input.white_level
    # A tray is looked at on its own here: its brightest pixel stands for white.
    level = float(np.quantile(pixels[::8, ::8], 0.999)) if white == "auto" else float(white)
    scaled = pixels.astype(np.float32) * np.float32(255.0 / max(level, 1.0))
    return np.minimum(scaled, np.float32(255.0))


def fingerprint(recipe: Recipe, arrays: Mapping[str, NDArray[Any]]) -> str:
    """What decides how trays are cut, as twelve hexadecimal digits."""
    tray = recipe.tray.model_copy(update={"example": None})
    text = dump_recipe(Recipe(tray=tray, input=recipe.input))
    digest = hashlib.sha256(text.encode())
    for key in sorted(arrays):
        digest.update(key.encode() + np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()[:12]


def prepare(
    trays: Sequence[TrayFile],
    out: str | Path,
    recipe: Recipe,
    arrays: Mapping[str, NDArray[Any]],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Cut the parts out of trays and write them as a data folder.

    Parameters
    ----------
    trays : sequence of TrayFile
        See :func:`find_trays`.
    out : path
        Part images go to the trays' class folders in it. Trays that its index lists already are
        left alone.
    recipe : Recipe
        Its tray section is complete.
    arrays : mapping of str to ndarray
        What was learned with it.
    force : bool
        Where the folder was prepared with another recipe: remove those part images and begin anew.
    progress : callable, optional

    Raises
    ------
    DataError
        The folder was prepared with another recipe, cannot be written, or no tray can be read.
    RecipeError
        The recipe's tray section is not complete.
    """
    finder = create_finder(recipe.tray, arrays)
    if finder is None:
        raise DataError("the recipe's tray.mode is none: each image shows one part already")
    out = Path(out)
    mark = fingerprint(recipe, arrays)
    try:
        out.mkdir(parents=True, exist_ok=True)
        done = begin(out, mark, force=force)
        todo = [tray for tray in trays if tray.name not in done]
        summary = Summary(len(trays), len(todo))
        unreadable = 0
        try:
            for tray in track(todo, "preparing", len(todo), progress):
                try:
                    image = read_image(tray.path, limits=recipe.input)
                except ImageError as error:
                    unreadable += 1
                    summary.reasons[error.reason] += 1
                    summary.messages.append(str(error))
                    continue
                rows = _write_parts(tray, image, finder, recipe, out, mark, summary)
                append(out / INDEX_NAME, rows)
        finally:
            if (out / INDEX_NAME).is_file():
                _write_extras(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None
    if todo and unreadable == len(trays):
        raise DataError(f"none of the trays can be read; the first: {summary.messages[0]}")
    return summary


def _write_parts(
    tray: TrayFile,
    image: SourceImage,
    finder: TrayFinder,
    recipe: Recipe,
    out: Path,
    mark: str,
    summary: Summary,
) -> list[dict[str, str]]:
    """Write one tray's parts; the rows for the index, also of what gave no part image."""
    rows = []
    for found in finder.find(finding_pixels(image, recipe), tray.name):
        file = ""
        if found.problem is None:
            name = tray.stem if found.pocket is None else f"{tray.stem}_{found.pocket}"
            file = (tray.folder / f"{name}.png").as_posix()
            (out / tray.folder).mkdir(parents=True, exist_ok=True)
            _write_png(out / file, warp_part(image.pixels, found.matrix, found.size))
            summary.parts += 1
        else:
            reason, message = found.problem
            summary.reasons[reason] += 1
            if reason != "empty":
                summary.messages.append(message)
        rows.append(_row(tray, found, file, image.sha256, mark))
    return rows


def _row(tray: TrayFile, found: Found, file: str, sha256: str, mark: str) -> dict[str, str]:
    transform = [[round(float(value), 6) for value in line] for line in found.matrix]
    return {
        "file": file,
        # Everything of one tray stays on one side of every split.
        "source": tray.name,
        "tray": tray.name,
        "pocket": found.pocket or "",
        "class": tray.label,
        "reason": "" if found.problem is None else found.problem[0],
        "match": f"{found.match:.4f}",
        "transform": json.dumps(transform),
        "sha256": sha256,
        "recipe": mark,
    }


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Whole or not at all, without loss, 8 or 16 bit."""
    turned = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    done, data = cv2.imencode(".png", turned, [cv2.IMWRITE_PNG_COMPRESSION, 2])
    if not done:
        raise RuntimeError("OpenCV could not encode a PNG")
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(data.tobytes())
    os.replace(draft, path)


def _write_extras(out: Path) -> None:
    """The contact sheet, and the index as Parquet where pyarrow is installed."""
    from goodpart.parts.contact_sheet import contact_sheet

    rows = read_index(out / INDEX_NAME)
    written = [row for row in rows if row["file"] and (out / row["file"]).is_file()]
    step = max(1, -(-len(written) // SHEET_IMAGES))
    entries = (
        (as_picture(read_image(out / row["file"]).pixels)[0], _caption(row))
        for row in written[::step]
    )
    if written:
        _write_png(out / SHEET_NAME, contact_sheet(entries, columns=10))
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    table = pyarrow.table({column: [row[column] for row in rows] for column in COLUMNS})
    draft = out / f".{PARQUET_NAME}.part"
    pyarrow.parquet.write_table(table, draft)
    os.replace(draft, out / PARQUET_NAME)


def _caption(row: Mapping[str, str]) -> str:
    return f"{Path(row['tray']).stem}\n{row['pocket']} {row['class']}"
