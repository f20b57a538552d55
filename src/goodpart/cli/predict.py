"""``goodpart predict``: judge images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodpart.cli.common import console, progress_bar, write_json


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files or folders.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Judge every part of every image.

    Example: goodpart predict models/caps new/cap_17.png --out results
    """
    from goodpart.model import load
    from goodpart.progress import track

    loaded = load(model)
    inspections = []
    with progress_bar() as progress:
        for path in track(images, "inspecting", len(images), progress):
            inspections += loaded.inspect_all(path)
    if json_file is not None:
        write_json([inspection.to_dict() for inspection in inspections], json_file)
        return
    say = console()
    for inspection in inspections:
        detail = inspection.message or f"score {inspection.score:.4g}"
        say.print(f"{inspection.verdict}  {inspection.part}  {detail}")
