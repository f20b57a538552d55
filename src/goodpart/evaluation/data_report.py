"""The files of ``stats --out``: charts, a table, and a contact sheet of the suspicious images."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from goodpart.decision.pictures import png_bytes
from goodpart.errors import DataError
from goodpart.evaluation.plots import plot_counts, plot_measures
from goodpart.parts.contact_sheet import contact_sheet
from goodpart.parts.read import read_image
from goodpart.parts.statistics import Facts, Statistics, suspicious, to_grey
from goodpart.progress import Progress, track

MOST_SHOWN = 120
COLUMNS = ("width", "height", "grey", "bits", "brightness", "contrast", "focus")


def write_statistics(out: Path, statistics: Statistics, progress: Progress | None = None) -> None:
    """Write ``counts.png``, ``measures.png``, ``images.csv``, ``statistics.json``, and
    ``suspicious.png`` where there is something to look at.

    Raises
    ------
    DataError
        The folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "counts.png").write_bytes(plot_counts(statistics.dataset.counts()))
        (out / "measures.png").write_bytes(plot_measures(statistics.facts))
        text = json.dumps(statistics.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (out / "statistics.json").write_text(text + "\n", encoding="utf-8")
        _write_table(out / "images.csv", statistics.facts)
        _write_sheet(out / "suspicious.png", suspicious(statistics)[:MOST_SHOWN], progress)
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None


def _write_sheet(path: Path, entries: list[tuple[Path, str]], progress: Progress | None) -> None:
    path.unlink(missing_ok=True)
    if not entries:
        return
    pictures = (
        (to_grey(read_image(image).pixels), f"{image.parent.name}/{image.name}\n{reason}")
        for image, reason in track(entries, "drawing", len(entries), progress)
    )
    path.write_bytes(png_bytes(contact_sheet(pictures)))


def _write_table(path: Path, facts: Sequence[Facts]) -> None:
    """One line for each image; the byte order mark lets Excel read Korean names."""
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "split", "label", "source", *COLUMNS])
        for found in facts:
            item = found.item
            values = [getattr(found, name) for name in COLUMNS]
            writer.writerow([item.path, item.split, item.label, item.source, *values])
