"""``goodpart info``: what a model is made of and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, write_json


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    recipe: Annotated[
        bool, typer.Option("--recipe", help="Print the recipe alone, as TOML.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Show a model's layers, shapes and parameters, recipe, limits, provenance and figures.

    Every file is checked against its SHA-256; nothing in the model is executed.

    Example: goodpart info models/caps
    """
    from goodpart.evaluation.describe import describe
    from goodpart.model import load
    from goodpart.recipe import dump_recipe

    if recipe:
        console().print(dump_recipe(load(model).recipe), end="", markup=False)
        return
    answer = describe(model)
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        show(answer)


def show(answer: dict[str, Any]) -> None:
    """Print a model for people."""
    from rich.table import Table

    say = console()
    settings = ", ".join(f"{k}={v}" for k, v in answer["settings"].items())
    say.print(f"{answer['model']}: {answer['detector']} ({settings})", markup=False)
    say.print(f"id {answer['id']}, format {answer['format']}")
    table = Table(title="layers", title_justify="left")
    for column in ("name", "kind", "output", "parameters"):
        table.add_column(column, justify="right" if column == "parameters" else "left")
    for layer in answer["layers"]:
        shape = " x ".join(map(str, layer["output"])) if layer["output"] else "–"
        table.add_row(layer["name"], layer["kind"], shape, f"{layer['parameters']:,}")
    if answer["layers"]:
        say.print(table)
    arrays = Table(title="arrays", title_justify="left")
    for column in ("file", "name", "shape", "type"):
        arrays.add_column(column)
    for row in answer["arrays"]:
        arrays.add_row(row["file"], row["name"], " x ".join(map(str, row["shape"])), row["type"])
    if answer["arrays"]:
        say.print(arrays)
    say.print(
        f"{answer['parameters']:,} parameters in layers, {answer['numbers_in_arrays']:,} numbers "
        f"in arrays, {answer['bytes'] / 2**20:.2f} MiB"
    )
    _story(say, answer)


def _story(say: Any, answer: dict[str, Any]) -> None:
    limits, story = answer["limits"], answer["provenance"]
    say.print(f"limits: ok {limits['ok']:.6g}, ng {limits['ng']:.6g}")
    for note in answer["calibration"].get("notes", []):
        say.print(f"  {note}", markup=False)
    scores = answer["held_out_scores"]
    if scores is not None:
        say.print(
            f"  held-out scores of {scores['n']} good images: "
            f"{scores['min']:.4g} to {scores['max']:.4g}, median {scores['median']:.4g}"
        )
    for name in answer["calibration"].get("outliers", []):
        say.print(f"  stands out: {name}", style="yellow", markup=False)
    say.print(
        f"trained {story.get('created', '–')} in {story.get('seconds', '–')} s on "
        f"{story.get('parts_used', '–')} good parts, data {str(story.get('data_sha256'))[:12]}"
    )
    versions = ", ".join(f"{k} {v}" for k, v in story.get("versions", {}).items())
    say.print(f"with {versions}", markup=False)
    say.print("recipe: goodpart info MODEL --recipe")
