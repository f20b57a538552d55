"""``goodpart learn``: add good images to an existing model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, expand_images, progress_bar, write_json


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    images: Annotated[list[Path], typer.Argument(help="Images of good parts, or folders.")],
    defects: Annotated[
        Path | None,
        typer.Option("--defects", help="Folder of defective parts, for limits with an escape."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write another model folder instead of MODEL.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --out.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Learn good images that a model judged wrongly, in seconds, and set its limits again.

    Says which earlier verdicts change, of the training images and of the images given. The
    images of the first training are not needed. MODEL is replaced as a whole at the end.

    Example: goodpart learn models/caps false_alarms/cap_17.png
    """
    from goodpart.learning import learn
    from goodpart.model import load
    from goodpart.model_folder import check_free

    if out is not None:
        check_free(out, force=force)
    files = expand_images(images)
    loaded = load(model)
    earlier = loaded.limits
    with progress_bar() as progress:
        result = learn(loaded, files, defects=defects, progress=progress)
    target = loaded.save(out or model, force=force or out is None)
    answer: dict[str, Any] = {
        "model": str(target),
        "id": loaded.id,
        "limits": {"ok": loaded.limits.ok, "ng": loaded.limits.ng},
        "before": {"ok": earlier.ok, "ng": earlier.ng},
        "learned": len(result.given),
        "given": [change.to_dict() for change in result.given],
        "training_changes": [change.to_dict() for change in result.training],
        "left_out": [{"name": name, "reason": reason} for name, reason in result.left_out],
        "notes": [*loaded.calibration["notes"], *result.notes],
    }
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        show(answer)


def show(answer: dict[str, Any]) -> None:
    """Print what changed for people."""
    say = console()
    for item in answer["left_out"]:
        say.print(f"left out: {item['reason']}", style="yellow", markup=False)
    for change in answer["given"]:
        say.print(
            f"{change['name']}: {change['before']} {change['score_before']:.4g} -> "
            f"{change['after']} {change['score_after']:.4g}",
            markup=False,
        )
    limits, before = answer["limits"], answer["before"]
    say.print(
        f"learned {answer['learned']} -> {answer['model']}; "
        f"limit {before['ng']:.4g} -> {limits['ng']:.4g}",
        markup=False,
    )
    for note in answer["notes"]:
        say.print(f"  {note}", markup=False)
    changes = answer["training_changes"]
    say.print(f"{len(changes)} training images get another verdict")
    for change in changes:
        say.print(f"  {change['name']}: {change['before']} -> {change['after']}", markup=False)
