"""``goodpart predict``: judge images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, engine_name, expand_images, progress_bar, write_json
from goodpart.decision import Inspection
from goodpart.errors import DataError

COLORS = {"OK": "green", "NG": "red", "CHECK": "yellow", "NOT_JUDGED": "magenta"}


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for result.txt and pictures, one folder per image."),
    ] = None,
    cmap: Annotated[
        str, typer.Option("--cmap", help="Colour map: Reds, Blues, Greys, inferno, viridis, ...")
    ] = "Reds",
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="onnxruntime, openvino (both fp32) or openvino-bf16."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier results.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Judge every part of every image.

    With --out each image gets a folder of its own: result.txt, heatmap.png, histogram.png and
    overlay.png; a tray gets tray.png and one folder for each part in it. Colours are fixed by
    the model's limits, so that the same red means the same on every part.

    Example: goodpart predict models/caps new/cap_17.png --out results
    """
    from goodpart.decision.pictures import color_table
    from goodpart.model import load
    from goodpart.progress import track

    color_table(cmap)
    files = expand_images(images)
    folders = _folders(files, out, force=force)
    loaded = load(model, engine=engine_name(engine) if engine else None)
    scale = loaded.heat_scale
    answers: list[dict[str, Any]] = []
    lines: list[Any] = []
    try:
        with progress_bar() as progress:
            for place, path in enumerate(track(files, "inspecting", len(files), progress)):
                inspections = loaded.inspect_all(path)
                if folders is not None:
                    _write_image(folders[place], path, inspections, scale, cmap)
                # Only words and numbers are kept: a thousand images need no more memory than one.
                answers += [inspection.to_dict() for inspection in inspections]
                lines += [_line(inspection) for inspection in inspections]
    finally:
        if str(json_file) != "-":
            say = console()
            for line in lines:
                say.print(line)
    if json_file is not None:
        write_json(answers, json_file)


def _folders(files: list[Path], out: Path | None, *, force: bool) -> list[Path] | None:
    """A folder for each image, named after it; the same name twice gets a number."""
    if out is None:
        return None
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; give --out a folder")
    taken: set[str] = set()
    folders = []
    for path in files:
        name, number = path.stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{path.stem}_{number}"
        taken.add(name.casefold())
        folder = out / name
        if folder.exists() and not force:
            raise DataError(f"{folder}: exists already; give another --out or add --force")
        folders.append(folder)
    return folders


def _write_image(
    folder: Path, path: Path, inspections: list[Inspection], scale: Any, cmap: str
) -> None:
    """Results of one image: in its folder, or for a tray in a folder for each part of it."""
    try:
        for inspection in inspections:
            target = folder if inspection.pocket is None else folder / inspection.pocket
            target.mkdir(parents=True, exist_ok=True)
            _write_part(target, inspection, scale, cmap)
        if any(inspection.pocket is not None for inspection in inspections):
            _write_tray(folder / "tray.png", path, inspections)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror or error}") from None


def _write_tray(picture: Path, path: Path, inspections: list[Inspection]) -> None:
    """The whole tray with the verdict and the regions of each part."""
    from goodpart.decision.pictures import png_bytes
    from goodpart.drawing import draw_tray
    from goodpart.parts.read import read_image

    picture.unlink(missing_ok=True)
    picture.write_bytes(png_bytes(draw_tray(read_image(path).pixels, inspections)))


def _write_part(folder: Path, inspection: Inspection, scale: Any, cmap: str) -> None:
    from goodpart.decision.pictures import (
        png_bytes,
        render_heatmap,
        render_histogram,
        render_overlay,
        result_text,
    )

    # Whatever stood here goes first: no part may keep another's pictures or verdict.
    for name in ("result.txt", "heatmap.png", "histogram.png", "overlay.png"):
        (folder / name).unlink(missing_ok=True)
    score_map = inspection.score_map
    if score_map is not None:
        heatmap = render_heatmap(score_map, scale, cmap)
        histogram = render_histogram(score_map, scale, score=inspection.score, mask=inspection.mask)
        (folder / "heatmap.png").write_bytes(png_bytes(heatmap))
        (folder / "histogram.png").write_bytes(png_bytes(histogram))
    overlay = render_overlay(inspection, scale, cmap)
    if overlay is not None:
        (folder / "overlay.png").write_bytes(png_bytes(overlay))
    (folder / "result.txt").write_text(result_text(inspection), encoding="utf-8")


def _line(inspection: Inspection) -> Any:
    from rich.text import Text

    word = inspection.verdict.value
    detail = inspection.message or f"score {inspection.score:.4g}"
    if inspection.regions:
        count = len(inspection.regions)
        detail += f", {count} region{'s' if count > 1 else ''}"
    return Text.assemble((f"{word:<10}", COLORS[word]), f"  {inspection.part}  {detail}")
