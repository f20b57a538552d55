"""``goodpart evaluate``: what a model is worth on test images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    data: Annotated[Path, typer.Argument(help="Data folder with test images.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for report.html and its pictures.")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", help="Further model to put beside it (may be repeated)."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier report.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Judge the test images of DATA and say how well the model separates good from defective.

    Example: goodpart evaluate models/caps data/caps --out report
    """
    from goodpart.evaluation.evaluate import evaluate, require_test_items
    from goodpart.model import load
    from goodpart.parts.dataset import load_dataset

    if out is not None:
        from goodpart.evaluation.report import check_out

        check_out(out, force=force)
    paths = [model, *(compare or [])]
    models = [load(path) for path in paths]
    dataset = load_dataset(data)
    items = require_test_items(dataset)
    with progress_bar() as progress:
        results = []
        for path, loaded in zip(paths, models, strict=True):
            stage = f"evaluating {path.name}" if len(paths) > 1 else "evaluating"
            results.append(evaluate(loaded, items, progress=progress, stage=stage))
        if out is not None:
            from goodpart.evaluation.report import write_report

            names = [path.name for path in paths]
            write_report(out, models, results, dataset, names=names, progress=progress)
    answer = {"model": str(model), "data": str(data), **results[0].to_dict()}
    if compare:
        answer["compare"] = [
            {"model": str(path), **result.to_dict()}
            for path, result in zip(paths[1:], results[1:], strict=True)
        ]
    if json_file is not None:
        write_json(answer, json_file)
    if json_file is None or str(json_file) != "-":
        show(answer)
        if out is not None:
            console().print(f"report: {out / 'report.html'}")


def show(answer: dict[str, Any]) -> None:
    """Print the figures for people."""
    from rich.table import Table

    say = console()
    rows = [answer, *answer.get("compare", [])]
    table = Table(title=f"{answer['data']}: {answer['images']} test images", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(f"{Path(row['model']).name} ({row['detector']})", justify="right")
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "image AUROC": lambda r: figure(r["image_auroc"]),
        "image AP": lambda r: figure(r["image_ap"]),
        "pixel AUROC": lambda r: figure(r["pixel_auroc"]),
        "AUPRO 30 %": lambda r: figure(r["aupro"]),
        "overkill (good judged NG)": lambda r: rate(r["overkill"]),
        "escape (defective judged OK)": lambda r: rate(r["escape"]),
        "check rate, good": lambda r: rate(r["check"]["good"]),
        "check rate, defective": lambda r: rate(r["check"]["defective"]),
        "not judged": lambda r: str(
            sum(r["not_judged"][k]["count"] for k in ("good", "defective"))
        ),
        "ms per image, p50 / p95": lambda r: milliseconds(r["seconds_per_image"]),
    }
    for name, cell in lines.items():
        table.add_row(name, *(cell(row) for row in rows))
    say.print(table)
    classes = Table(title="by class", title_justify="left")
    for column in ("class", "n", "OK", "CHECK", "NG", "not judged", "image AUROC"):
        classes.add_column(column, justify="left" if column == "class" else "right")
    for label, row in answer["by_class"].items():
        counts = (str(row[key]) for key in ("n", "ok", "check", "ng", "not_judged"))
        classes.add_row(label, *counts, figure(row["image_auroc"]))
    say.print(classes)
    for reason, count in answer["not_judged"]["by_reason"].items():
        say.print(f"not judged: {count} x {reason}", style="yellow")
    for problem in answer["problems"]:
        say.print(problem, style="yellow")


def figure(value: float | None) -> str:
    """Four decimals, or a dash for what cannot be had."""
    return "–" if value is None else f"{value:.4f}"


def rate(value: dict[str, Any]) -> str:
    """A rate with its counts and its upper bound."""
    if value["rate"] is None:
        return "–"
    return f"{value['rate']:.1%} ({value['count']}/{value['n']}, at most {value['upper95']:.1%})"


def milliseconds(value: dict[str, float | None]) -> str:
    """Median and 95 % quantile in milliseconds."""
    if value["p50"] is None or value["p95"] is None:
        return "–"
    return f"{value['p50'] * 1e3:.1f} / {value['p95'] * 1e3:.1f}"
