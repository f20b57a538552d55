"""``goodpart synthesize``: train a generator on good parts and draw new ones."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.errors import RecipeError


def command(
    data: Annotated[Path, typer.Argument(help="Data folder, in any of the three layouts.")],
    out: Annotated[Path, typer.Argument(help="Data folder to write.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many images to keep.")],
    generator: Annotated[
        str | None, typer.Option("--generator", help="light_gan (default) or dcgan.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings (TOML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over it: epochs=20, gate.tolerance=1.2."),
    ] = None,
    trained_folder: Annotated[
        Path | None,
        typer.Option("--from", help="Draw with this generator; train nothing."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Another one draws other images.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier synthesis.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Train a generator on the good training images of DATA and draw new ones into OUT.

    A gate keeps what a detector takes for good, near the real images but no copy of one. OUT
    is a data folder of marked images for train --with-generated, with a contact sheet, report.html
    and the generator. A training that is stopped goes on with the same command.

    Example: goodpart synthesize data/caps data/caps_generated --count 500
    """
    from goodpart.training import require_torch

    require_torch()
    from goodpart.evaluation.synthesis_report import report
    from goodpart.generators.config import load_settings
    from goodpart.generators.images import read_real_images
    from goodpart.generators.registry import create_generator
    from goodpart.generators.synthesis import check_free, synthesize, write_synthesis
    from goodpart.generators.trained import load_generator

    check_free(out, force=force)
    chosen = load_settings(config, settings or [])
    changes: dict[str, Any] = {}
    if generator is not None:
        changes["generator"] = generator
    if seed is not None:
        changes["seed"] = seed
    chosen = chosen.model_copy(update=changes)
    trained = None
    if trained_folder is not None:
        if generator is not None or chosen.settings:
            raise RecipeError("--from takes a trained generator as it is: leave out its settings")
        trained = load_generator(trained_folder)
    else:
        create_generator(chosen.generator, chosen.settings)  # a wrong setting before reading
    workdir = out.parent / f"{out.name}.training"
    say = console()
    try:
        with progress_bar() as progress:
            real = read_real_images(data, progress)
            found = synthesize(
                real,
                count,
                chosen,
                workdir=workdir,
                trained=trained,
                progress=progress,
                say=lambda text: print(f"goodpart: {text}", file=sys.stderr, flush=True),
            )
    except KeyboardInterrupt:
        if workdir.is_dir():
            print(
                f"goodpart: the last finished epoch is kept in {workdir}; "
                "the same command goes on from it",
                file=sys.stderr,
            )
        raise
    summary = write_synthesis(found, out, report=report(found), force=force)
    shutil.rmtree(workdir, ignore_errors=True)  # all of it is in OUT now
    if json_file is not None:
        write_json({key: value for key, value in summary.items() if key != "sha256"}, json_file)
        return
    for item in summary["left_out"]:
        say.print(f"left out: {item['reason']}", style="yellow", markup=False)
    counts = ", ".join(f"{number} {verdict}" for verdict, number in summary["counts"].items())
    say.print(f"{summary['drawn']} drawn: {counts} -> {out}")
    if summary["counts"].get("kept", 0) < count:
        say.print(
            f"fewer than the {count} wanted: train longer, or loosen the gate", style="yellow"
        )
    figures = summary["figures"]
    say.print(
        f"kernel distance {figures['kid']:.4f} (between halves of the real images "
        f"{figures['kid_between_real_halves']:.4f}), precision {figures['precision']:.2f}, "
        f"recall {figures['recall']:.2f}, coverage {figures['coverage']:.2f}"
        if figures["kid"] is not None
        else "too few images for figures"
    )
    say.print(f"look at {out / 'report.html'}; train with --with-generated {out}")
