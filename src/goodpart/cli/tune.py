"""``goodpart tune``: compare detectors and settings on the training side."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.errors import GoodpartError, MissingExtraError, RecipeError

Axes = dict[str, list[Any]]


def command(
    data: Annotated[Path, typer.Argument(help="Data folder; only its good training images.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the table and the chart.")],
    detector: Annotated[
        str, typer.Option("--detector", help="Whose settings are varied.")
    ] = "autoencoder",
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="key=a,b,c; the keys detector and preset too. Repeatable."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Let optuna try this many instead of the whole grid."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Recipe (TOML).")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for every cell.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the table as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Compare presets and hyperparameters by how well synthetic defects stand out.

    A third of the good sources is held out; test/ is never opened. Each finished cell is kept:
    stopped and called again, tune goes on where it was. Writes table.csv, table.json, chart.png
    and best.toml, a recipe for: goodpart train --config.

    Example: goodpart tune data/caps --out tuning --grid epochs=12,24 --grid rate=1e-3,2e-3
    """
    from goodpart.evaluation.tuning import Cell, Workbench, ranked
    from goodpart.recipe import Recipe, dump_recipe, load_recipe, override

    if out.exists() and any(out.iterdir()) and not (out / "cells").is_dir():
        raise GoodpartError(f"{out}: exists and is not a folder of an earlier tune; give another")
    recipe = override(load_recipe(config) if config else Recipe(), settings or [])
    axes = parse_axes(grid or _default_grid(detector))
    common = dict(recipe.detector.settings)
    out.mkdir(parents=True, exist_ok=True)
    (out / "cells").mkdir(exist_ok=True)
    cells: list[Cell] = []
    say = console()
    with progress_bar() as progress:
        bench = Workbench(data, recipe, out, progress)

        def attempt(name: str, chosen: dict[str, Any]) -> float | None:
            cell = bench.run(name, {**common, **chosen})
            if cell.name not in {known.name for known in cells}:
                cells.append(cell)
            write_tables(out, ranked(cells))
            return cell.auroc

        _search(axes, detector, trials, recipe.seed, attempt)
    order = ranked(cells)
    if order[0].auroc is None:
        raise GoodpartError(f"no cell could be trained; the first said: {order[0].error}")
    (out / "chart.png").write_bytes(chart(order))
    best = recipe.detector.model_copy(
        update={"name": order[0].detector, "settings": order[0].settings}
    )
    chosen = recipe.model_copy(update={"detector": best})
    (out / "best.toml").write_text(dump_recipe(chosen), encoding="utf-8")
    if json_file is not None:
        write_json([asdict(cell) for cell in order], json_file)
    if json_file is None or str(json_file) != "-":
        for cell in order:
            figure = "failed" if cell.auroc is None else f"{cell.auroc:.4f}"
            say.print(f"{figure:>7}  {cell.seconds:7.1f} s  {cell.name}  {cell.error or ''}")
        say.print(f"train the best with: goodpart train {data} --config {out / 'best.toml'} --out")


def parse_axes(texts: list[str]) -> Axes:
    """``key=a,b,c`` as lists of values, TOML where it is TOML: ``widths=[8,16],[16,32]``.

    Raises
    ------
    RecipeError
        A text is not of that form.
    """
    axes: Axes = {}
    for text in texts:
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise RecipeError(f"--grid {text}: write it as key=a,b,c, such as rate=1e-3,2e-3")
        axes[key.strip()] = list(_values(values))
    return axes


def _values(text: str) -> Iterator[Any]:
    import tomllib

    try:
        yield from tomllib.loads(f"values = [{text}]")["values"]
        return
    except tomllib.TOMLDecodeError:
        pass  # bare words, such as preset=restore,seed
    for word in text.split(","):
        try:
            yield tomllib.loads(f"value = {word}")["value"]
        except tomllib.TOMLDecodeError:
            yield word.strip()


def _default_grid(detector: str) -> list[str]:
    if detector == "autoencoder":
        return ["preset=restore,seed"]
    return [f"detector={detector}"]


def _search(
    axes: Axes,
    detector: str,
    trials: int | None,
    seed: int,
    attempt: Callable[[str, dict[str, Any]], float | None],
) -> None:
    from goodpart.evaluation.tuning import grid

    if trials is None:
        for name, chosen in grid(axes, detector):
            attempt(name, chosen)
        return
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Values may be lists, which optuna does not take as choices: it chooses their places.
    places = {key: list(range(len(values))) for key, values in axes.items()}

    def objective(trial: Any) -> float:
        values = {k: axes[k][trial.suggest_categorical(k, p)] for k, p in places.items()}
        found = attempt(str(values.pop("detector", detector)), values)
        return 0.0 if found is None else found

    sampler = optuna.samplers.TPESampler(seed=seed)
    optuna.create_study(direction="maximize", sampler=sampler).optimize(objective, n_trials=trials)


def write_tables(out: Path, cells: list[Any]) -> None:
    """``table.csv`` and ``table.json``, best first."""
    text = io.StringIO()
    kinds = list(dict.fromkeys(kind for cell in cells for kind in cell.by_kind))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["detector", "settings", "auroc", *kinds, "seconds", "milliseconds", "error"])
    for cell in cells:
        given = " ".join(f"{key}={value}" for key, value in cell.settings.items())
        by_kind = [cell.by_kind.get(kind, "") for kind in kinds]
        auroc = "" if cell.auroc is None else cell.auroc
        row = [cell.detector, given, auroc, *by_kind, cell.seconds, cell.milliseconds]
        writer.writerow([*row, cell.error or ""])
    (out / "table.csv").write_text(text.getvalue(), encoding="utf-8")
    write_json([asdict(cell) for cell in cells], out / "table.json")


def chart(cells: list[Any]) -> bytes:
    """Bars of the AUROC, best first, as a PNG file."""
    from matplotlib.figure import Figure

    shown = [cell for cell in cells if cell.auroc is not None][:30]
    figure = Figure(figsize=(9, 1.2 + 0.35 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(shown))
    bars = axes.barh(places, [cell.auroc for cell in shown], color="#2a6f97")
    axes.bar_label(bars, [f"{c.auroc:.3f}  {c.seconds:.0f} s" for c in shown], padding=3)
    axes.set_yticks(places, [cell.name for cell in shown], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.15), xlabel="AUROC, held-out good parts against synthetic defects")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
