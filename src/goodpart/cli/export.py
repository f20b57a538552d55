"""``goodpart export``: a model as one ONNX file that runs outside goodpart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodpart.cli.common import console, write_json
from goodpart.errors import GoodpartError


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    out: Annotated[Path, typer.Option("--out", help="ONNX file to write.")],
    format_: Annotated[str, typer.Option("--format", help="onnx, the only one.")] = "onnx",
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Write one ONNX file, part image in, score and score map out, and a script that runs it.

    Resizing, normalisation and scoring are inside; limits, part size and how parts have to be
    cut out are in its metadata. It takes part images that are located and aligned already.

    Example: goodpart export models/caps --format onnx --out caps.onnx
    """
    from goodpart.exporting import export_onnx, facts
    from goodpart.model import load

    if format_ != "onnx":
        raise GoodpartError(f"--format {format_}: there is only onnx")
    loaded = load(model)
    network, script = export_onnx(loaded, out, force=force)
    answer = {
        "model": str(model),
        "network": str(network),
        "bytes": network.stat().st_size,
        "example": str(script),
        "facts": facts(loaded),
    }
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        say = console()
        say.print(f"{network}: {network.stat().st_size / 2**20:.1f} MiB", markup=False)
        say.print(f"takes {answer['facts']['goodpart.input']}", markup=False)  # type: ignore[index]
        say.print(f"run it: python {script} part.png", markup=False)
