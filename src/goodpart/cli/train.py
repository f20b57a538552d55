"""``goodpart train``: from a folder of good images to a calibrated model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, engine_name, progress_bar, write_json


def command(
    data: Annotated[Path, typer.Argument(help="Data folder, in any of the three layouts.")],
    out: Annotated[Path, typer.Option("--out", help="Model folder to write.")],
    detector: Annotated[
        str | None, typer.Option("--detector", help="Which detector, or auto.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Recipe (TOML).")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the recipe, such as limits.overkill=0.005."),
    ] = None,
    drop_outliers: Annotated[
        bool, typer.Option("--drop-outliers", help="Learn again without what stands out.")
    ] = False,
    defects: Annotated[
        Path | None,
        typer.Option("--defects", help="Folder of defective parts, for limits.escape."),
    ] = None,
    with_generated: Annotated[
        Path | None,
        typer.Option(
            "--with-generated",
            help="Also learn from what synthesize wrote here. It did not help: image AUROC of "
            "gaussian 0.939 with them, 0.974 without (105 castings, three seeds).",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What limits are set on and parts are judged by.")
    ] = "onnxruntime",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing model.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the summary as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Learn from the good images of DATA and set the limits.

    Only good training images are opened, never test/. The model folder is written at the end:
    a training that fails or is stopped leaves an earlier model whole.

    Example: goodpart train data/caps --out models/caps
    """
    from goodpart.fitting import OUTLIER_SHEET, fit
    from goodpart.model_folder import check_free
    from goodpart.recipe import Recipe, load_recipe, override

    check_free(out, force=force)
    chosen_engine = engine_name(engine)
    recipe = load_recipe(config) if config else Recipe()
    recipe = override(recipe, settings or [])
    workdir = out.parent / f"{out.name}.training"
    with progress_bar() as progress:
        model = fit(
            data,
            detector=detector,
            recipe=recipe,
            drop_outliers=drop_outliers,
            defects=defects,
            generated=with_generated,
            engine=chosen_engine,
            workdir=workdir,
            progress=progress,
        )
    model.save(out, force=force)
    shutil.rmtree(workdir, ignore_errors=True)  # the model is whole: nothing is left to resume
    summary = summarize(model, out)
    if json_file is not None:
        write_json(summary, json_file)
        return
    say = console()
    for line in model.provenance.get("choice", {}).get("why", []):
        say.print(line, markup=False)
    for item in model.provenance["left_out"]:
        say.print(f"left out: {item['reason']}", style="yellow")
    for warning in model.provenance["warnings"]:
        say.print(f"warning: {warning}", style="bold red")
    drawn = f", {summary['generated']} of them generated," if summary["generated"] else ""
    say.print(
        f"{summary['detector']} learned from {summary['parts']} good parts{drawn} "
        f"in {summary['seconds']:.1f} s -> {out}"
    )
    first, *others = model.calibration["notes"]
    say.print(f"limit {model.limits.ng:.4g}: {first}")
    for note in others:
        say.print(f"  {note}", style="yellow", markup=False)
    judged_by = model.provenance.get("engine")
    if judged_by is not None:
        say.print(
            f"judged on {judged_by['name']}: scores differ from fp32 by up to "
            f"{judged_by['deviation']:.2%} of the limit, no verdict of "
            f"{judged_by['images']} training images does"
        )
    for name in model.provenance["dropped"]:
        say.print(f"stood out, left out and learned again without: {name}", style="yellow")
    for name in model.calibration["outliers"]:
        say.print(f"stands out: {name}", style="yellow")
    if OUTLIER_SHEET in model.artifacts:
        say.print(f"look at them: {out / OUTLIER_SHEET}", style="yellow")
    if model.calibration["outliers"] and not drop_outliers:
        say.print("left in; to learn without them add --drop-outliers", style="yellow")


def summarize(model: Any, out: Path) -> dict[str, Any]:
    """The answer for ``--json``."""
    return {
        "model": str(out),
        "detector": model.detector.name,
        "parts": model.provenance["parts_used"],
        "choice": model.provenance.get("choice"),
        "left_out": model.provenance["left_out"],
        "generated": model.provenance["generated_used"],
        "dropped": model.provenance["dropped"],
        "warnings": model.provenance["warnings"],
        "seconds": model.provenance["seconds"],
        "limits": {"ok": model.limits.ok, "ng": model.limits.ng},
        "calibration": {
            k: v for k, v in model.calibration.items() if k not in ("good_scores", "defect_scores")
        },
    }
