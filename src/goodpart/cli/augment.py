"""``goodpart augment``: write augmented copies of the training images."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar
from goodpart.errors import DataError, ImageError

SHEET_IMAGES = 6
COLUMNS = ("file", "source", "class", "variant", "generated")


def command(
    data: Annotated[Path, typer.Argument(help="Data folder, in any of the three layouts.")],
    out: Annotated[Path, typer.Argument(help="Data folder to write.")],
    noise: Annotated[
        float, typer.Option("--noise", help="Sigma as a share of the full range; 0: no noise.")
    ] = 0.05,
    rotations: Annotated[
        str, typer.Option("--rotations", help="Quarter turns, counter-clockwise.")
    ] = "0,90,180,270",
    mirror: Annotated[bool, typer.Option("--mirror", help="Also mirror each rotation.")] = False,
    brightness: Annotated[
        list[float] | None, typer.Option("--brightness", help="Also at this gain (repeatable).")
    ] = None,
    blur: Annotated[
        list[float] | None,
        typer.Option("--blur", help="Also blurred with this sigma in pixels (repeatable)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the noise.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier copies.")] = False,
) -> None:
    """Write each training image of DATA turned and with noise, into the same layout.

    By default eight of each: four quarter turns, each clean and noisy. Test images are never
    augmented. index.csv names the source of every copy, so that all copies of one image stay on
    one side of every split; contact_sheet.png shows the first ones.

    Example: goodpart augment data/caps data/caps_augmented --mirror
    """
    from goodpart.parts.dataset import load_dataset

    turns = _turns(rotations)
    if not 0 <= noise <= 1:
        raise DataError(f"--noise {noise:g}: give a share of the full range, 0 to 1")
    dataset = load_dataset(data)
    items = [item for item in dataset.items if item.split == "train"]
    if not items:
        raise DataError(f"{data}: no training images to augment")
    prepare_out(out, data, force=force)
    options: dict[str, Any] = {
        "rotations": turns,
        "noise": noise,
        "mirror": mirror,
        "gains": tuple(brightness or ()),
        "blurs": tuple(blur or ()),
    }
    with progress_bar() as progress:
        rows, left_out = _write_all(items, dataset.root, out, options, seed, progress)
    say = console()
    for message in left_out:
        say.print(f"left out: {message}", style="yellow", markup=False)
    say.print(f"{len(items) - len(left_out)} images -> {len(rows)} in {out}")
    say.print(f"look at {out / 'contact_sheet.png'}")


def _turns(text: str) -> tuple[int, ...]:
    try:
        turns = tuple(int(word) % 360 for word in text.split(","))
    except ValueError:
        turns = (1,)
    if any(turn % 90 for turn in turns):
        raise DataError(f"--rotations {text}: give multiples of 90, such as 0,90,180,270")
    return tuple(dict.fromkeys(turns))


def prepare_out(out: Path, data: Path, *, force: bool) -> None:
    """Make room; with ``force`` what an earlier run listed in its index is removed, no more.

    Raises
    ------
    DataError
        The folder is the data itself, a file, or holds something that must not be replaced.
    """
    from goodpart.parts.dataset import INDEX_NAME

    if out.resolve() == data.resolve():
        raise DataError(f"{out}: is the data itself; give another folder to write to")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder to write to")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not force:
        raise DataError(f"{out}: is not empty; name another folder or add --force")
    index = out / INDEX_NAME
    if not index.is_file():
        raise DataError(f"{out}: was not written by augment; even --force leaves it alone")
    with open(index, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            stale = (out / row["file"]).resolve()
            if stale.is_relative_to(out.resolve()):
                stale.unlink(missing_ok=True)
    index.unlink()


def _write_all(
    items: Sequence[Any],
    root: Path,
    out: Path,
    options: dict[str, Any],
    seed: int,
    progress: Any,
) -> tuple[list[dict[str, str]], list[str]]:
    import numpy as np

    from goodpart.decision.pictures import png_bytes
    from goodpart.parts.augment import variants
    from goodpart.parts.contact_sheet import contact_sheet
    from goodpart.parts.dataset import INDEX_NAME
    from goodpart.parts.read import read_image
    from goodpart.progress import track

    rows: list[dict[str, str]] = []
    left_out: list[str] = []
    sheet: list[tuple[Any, str]] = []
    columns = 0
    try:
        for place, item in enumerate(track(items, "augmenting", len(items), progress)):
            try:
                pixels, restore = _workable(read_image(item.path).pixels)
            except ImageError as error:
                left_out.append(str(error))
                continue
            folder = item.path.parent.relative_to(root)
            rng = np.random.default_rng([seed, place])
            copies = list(variants(pixels, rng, **options))
            columns = len(copies)
            for copy in copies:
                name = folder / f"{item.path.stem}__{copy.name}.png"
                (out / folder).mkdir(parents=True, exist_ok=True)
                (out / name).write_bytes(png_bytes(restore(copy.pixels)))
                # A copy of a generated image is generated too: it may never be a test image.
                drawn = "true" if item.generated else ""
                row = (name.as_posix(), item.source, item.label, copy.name, drawn)
                rows.append(dict(zip(COLUMNS, row, strict=True)))
                if place < SHEET_IMAGES:
                    sheet.append((copy.pixels, f"{item.path.stem}\n{copy.name}"))
        if not rows:
            raise DataError(f"none of the training images can be read; the first: {left_out[0]}")
        with open(out / INDEX_NAME, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        (out / "contact_sheet.png").write_bytes(png_bytes(contact_sheet(sheet, columns=columns)))
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None
    return rows, left_out


def _workable(pixels: Any) -> tuple[Any, Any]:
    """Pixels in the range 0..255 and the way back to the depth of the file."""
    import numpy as np

    if pixels.dtype == np.uint8:
        return pixels, lambda values: values
    return pixels.astype(np.float32) / 257, lambda values: np.rint(values * 257).astype(np.uint16)
