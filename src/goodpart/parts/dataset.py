"""Data folders: the three layouts, their labels, and a split that keeps each source on one side."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from goodpart.errors import DataError
from goodpart.parts.read import SUFFIXES

GOOD = "good"
GOOD_NAMES = frozenset({"good", "normal", "ok", "양품", "정상"})
INDEX_NAME = "index.csv"
SHEET_NAME = "contact_sheet.png"
EXAMPLE_NAME = "recipe.example.png"
# Pictures that goodpart itself writes beside data.
_OWN_NAMES = frozenset({SHEET_NAME, EXAMPLE_NAME})

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Item:
    """One image file of a data folder.

    Parameters
    ----------
    path : Path
    label : str
        ``"good"``, or the name of the defect's folder.
    split : "train" or "test"
    source : str
        The original image (or tray) that it came from: everything of one source stays on one
        side of every split.
    mask : Path, optional
        Ground truth, non-zero where the defect is.
    generated : bool
        Drawn by a generator: never a test image.
    """

    path: Path
    label: str
    split: Split
    source: str
    mask: Path | None = None
    generated: bool = False

    @property
    def good(self) -> bool:
        """Whether the part is labelled good."""
        return self.label == GOOD


@dataclass(frozen=True)
class Dataset:
    """The images of a data folder, sorted by path.

    Parameters
    ----------
    root : Path
    layout : "benchmark", "classes" or "flat"
    items : tuple of Item
    """

    root: Path
    layout: Literal["benchmark", "classes", "flat"]
    items: tuple[Item, ...]

    def train_good(self) -> list[Item]:
        """Good images of the training side."""
        return [item for item in self.items if item.split == "train" and item.good]

    def train_defects(self) -> list[Item]:
        """Defective images of the training side: they may set limits, nothing else."""
        return [item for item in self.items if item.split == "train" and not item.good]

    def test(self) -> list[Item]:
        """Images of the test side.

        Raises
        ------
        DataError
            A generated image is among them.
        """
        items = [item for item in self.items if item.split == "test"]
        for item in items:
            if item.generated:
                raise DataError(
                    f"{item.path}: a generated image in the test split; "
                    "only real images may measure a model, move it out"
                )
        return items

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of images by (split, label)."""
        return dict(Counter((item.split, item.label) for item in self.items))


def unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone (SHA-256)."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def folds(sources: Sequence[str], count: int) -> list[int]:
    """Assign each image to one of ``count`` folds, all images of one source to the same.

    Sources are ordered by their hash and dealt out in turn, so that folds are even and do not
    depend on the order of the images.

    Returns
    -------
    list of int
        Fold of each image, 0 .. count - 1.
    """
    ordered = sorted(set(sources), key=lambda source: (unit_hash(source), source))
    fold_of = {source: index % count for index, source in enumerate(ordered)}
    return [fold_of[source] for source in sources]


def is_good_name(name: str) -> bool:
    """Whether a folder of this name holds good parts."""
    return name.casefold() in GOOD_NAMES


def image_files(folder: Path) -> list[Path]:
    """Image files right in a folder, sorted by name; hidden ones and contact sheets left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.name not in _OWN_NAMES
        and path.is_file()
    )


def load_dataset(
    root: str | Path, *, train_share: float = 0.8, defect_train_share: float = 0.5
) -> Dataset:
    """Find the images of a data folder in any of the three layouts.

    Parameters
    ----------
    root : path
    train_share : float
        In class folders, the share of good sources on the training side.
    defect_train_share : float
        The same for the sources of each defect class.

    Raises
    ------
    DataError
        The folder is missing, holds no image, or holds no good image.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give a folder of images")
    if (root / "train").is_dir() or (root / "test").is_dir():
        layout: Literal["benchmark", "classes", "flat"] = "benchmark"
        found = _benchmark(root)
    elif any(folder.is_dir() and is_good_name(folder.name) for folder in root.iterdir()):
        layout = "classes"
        found = _classes(root, train_share, defect_train_share)
    else:
        layout = "flat"
        found = _flat(root)
    items = tuple(sorted(found, key=lambda item: str(item.path)))
    if not items:
        raise DataError(
            f"{root}: no images found; put good parts into {root.name}/Normal and defects into "
            f"{root.name}/<Defect>, or all good images right into the folder"
        )
    if not any(item.good for item in items):
        raise DataError(f"{root}: no good images found; put them into a folder named Normal")
    return Dataset(root, layout, items)


def _subfolders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _read_index(folder: Path) -> dict[Path, dict[str, str]]:
    """Rows of a folder's ``index.csv`` by file path: ``source`` and ``generated``."""
    path = folder / INDEX_NAME
    if not path.is_file():
        return {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return {folder / row["file"]: row for row in csv.DictReader(file)}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not an index with a column 'file': {error}") from None


def is_generated(path: Path) -> bool:
    """Whether a PNG carries the mark that ``synthesize`` writes into its metadata.

    The index may get lost when people move files; the mark travels inside.
    """
    if path.suffix.lower() != ".png":
        return False
    with open(path, "rb") as file:
        return b"goodpart:generated" in file.read(4096)


def _item(
    path: Path,
    label: str,
    split: Split,
    index: dict[Path, dict[str, str]],
    mask: Path | None = None,
) -> Item:
    row = index.get(path, {})
    generated = row.get("generated", "").lower() in ("1", "true", "yes") or is_generated(path)
    return Item(path, label, split, row.get("source") or path.stem, mask, generated)


def _benchmark(root: Path) -> Iterator[Item]:
    index = _read_index(root)
    splits: tuple[Split, Split] = ("train", "test")
    for split in splits:
        for folder in _subfolders(root / split):
            label = GOOD if is_good_name(folder.name) else folder.name
            if split == "train" and label != GOOD:
                raise DataError(f"{folder}: train/ holds good images only; move it to test/")
            for path in image_files(folder):
                mask = root / "ground_truth" / folder.name / f"{path.stem}_mask.png"
                yield _item(path, label, split, index, mask if mask.is_file() else None)


def _classes(root: Path, train_share: float, defect_train_share: float) -> Iterator[Item]:
    index = _read_index(root)
    for folder in _subfolders(root):
        label = GOOD if is_good_name(folder.name) else folder.name
        share = train_share if label == GOOD else defect_train_share
        for path in image_files(folder):
            item = _item(path, label, "train", index)
            # A generated image can only train: by its source's hash it might fall into test.
            if not item.generated and unit_hash(item.source) >= share:
                item = Item(path, label, "test", item.source)
            yield item


def _flat(root: Path) -> Iterator[Item]:
    index = _read_index(root)
    for path in image_files(root):
        yield _item(path, GOOD, "train", index)
