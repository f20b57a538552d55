"""The index of a prepared folder: a line for every part image, and for what gave none.

A tray's lines are written in one go, after its part images, so that a run that is stopped has lost
nothing: the next one goes on with the trays that the index does not list.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from goodpart.errors import DataError
from goodpart.parts.dataset import INDEX_NAME

COLUMNS = (
    "file",
    "source",
    "tray",
    "pocket",
    "class",
    "reason",
    "match",
    "transform",
    "sha256",
    "recipe",
)
_HEADER = ",".join(COLUMNS) + "\n"


def read_index(path: Path) -> list[dict[str, str]]:
    """Rows of an index; a tray whose last line was torn off is left out, to be done again.

    A run that lost its power may leave half a header, or a name that ends within a letter.

    Raises
    ------
    DataError
        It was not written by ``prepare``.
    """
    if not path.is_file():
        return []
    try:
        whole, newline, torn = path.read_bytes().rpartition(b"\n")
        text = (whole + newline).decode("utf-8") + torn.decode("utf-8", errors="ignore")
        if _HEADER.startswith(text):
            return []
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=False)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise DataError(f"{path}: was not written by prepare; give another folder")
        rows = [row for row in reader if None not in row and None not in row.values()]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    if rows and torn:
        cut = rows[-1]["tray"]
        rows = [row for row in rows if row["tray"] != cut]
    return rows


def check_recipe(out: Path, mark: str, *, force: bool) -> None:
    """Raise where a folder was prepared with another recipe.

    Raises
    ------
    DataError
    """
    rows = read_index(out / INDEX_NAME)
    if any(row["recipe"] != mark for row in rows) and not force:
        raise DataError(
            f"{out}: was prepared with another recipe; give another folder, or --force to "
            "replace its part images"
        )


def begin(out: Path, mark: str, *, force: bool) -> set[str]:
    """Trays that are done; part images of another recipe are removed, a torn line is cut off.

    Raises
    ------
    DataError
        The folder was prepared with another recipe and ``force`` is not given.
    """
    check_recipe(out, mark, force=force)
    index = out / INDEX_NAME
    rows = read_index(index)
    kept = [row for row in rows if row["recipe"] == mark]
    root = out.resolve()
    for row in rows:
        stale = (out / row["file"]).resolve()
        if row["recipe"] != mark and row["file"] and stale.is_relative_to(root):
            stale.unlink(missing_ok=True)
    if kept:
        _rewrite(index, kept)
    else:
        index.unlink(missing_ok=True)
    return {row["tray"] for row in kept}


def _rewrite(index: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """The index without a torn line."""
    draft = index.with_name(f".{index.name}.part")
    with open(draft, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(draft, index)


def append(index: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """All rows of a tray in one write."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if not index.exists():
        writer.writeheader()
    writer.writerows(rows)
    with open(index, "a", encoding="utf-8", newline="") as file:
        file.write(text.getvalue())
