"""``goodpart limits``: show the limits and what they cost; set them again without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, parse_rate, progress_bar, write_json
from goodpart.errors import GoodpartError

MEANINGS = {
    "split": "the good scores come from images that the detector never used. If the parts to come "
    "are like them (same parts, camera and light), overkill is at most the rate on average, "
    "as long as good parts become rarer the higher the score",
    "cross-fitted": "each good image was scored by a model that did not see it. If the parts to "
    "come are like them (same parts, camera and light), overkill is about the rate on average",
}


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    overkill: Annotated[
        str | None, typer.Option("--overkill", help="Good parts that may be NG: 0.5% or 0.005.")
    ] = None,
    escape: Annotated[
        str | None,
        typer.Option("--escape", help="Defective parts that may be OK; opens a CHECK band."),
    ] = None,
    defects: Annotated[
        Path | None, typer.Option("--defects", help="Folder of defective parts, for --escape.")
    ] = None,
    ok: Annotated[
        float | None, typer.Option("--ok", help="By hand: at or below it OK (alone: both).")
    ] = None,
    ng: Annotated[
        float | None, typer.Option("--ng", help="By hand: above it NG (alone: both).")
    ] = None,
    as_trained: Annotated[
        bool, typer.Option("--as-trained", help="Back to what was asked for at training.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Show what the limits promise and cost; set them again in a moment, without training.

    Without options nothing is changed. Limits are set from the scores of the good images that
    the model keeps; only its manifest is rewritten, and every change is noted there.

    Example: goodpart limits models/caps --overkill 0.5%
    """
    from goodpart.calibration import choices, costs, first_wish, write_limits
    from goodpart.decision import Limits
    from goodpart.model_folder import read_manifest

    by_hand = ok is not None or ng is not None
    rates = overkill is not None or escape is not None or defects is not None
    if by_hand + rates + as_trained > 1:
        raise GoodpartError(
            "set limits by rates (--overkill, --escape), by hand (--ok, --ng) or --as-trained, "
            "one at a time"
        )
    manifest = read_manifest(model)
    story, limits = manifest["calibration"], Limits(**manifest["limits"])
    before = limits
    problems: list[str] = []
    if as_trained:
        wish, own = first_wish(story)
        limits, story = write_limits(model, story, wish, own=own, why="limits --as-trained")
    elif by_hand or rates:
        wish = _wish(manifest["recipe"]["limits"], overkill, escape, ok, ng)
        if defects is not None:
            story, problems = _with_defects(model, story, defects)
        limits, story = write_limits(model, story, wish, why=_why(overkill, escape, ok, ng))
    answer = {
        "model": str(model),
        "limits": {"ok": limits.ok, "ng": limits.ng},
        "before": {"ok": before.ok, "ng": before.ng},
        "overkill_asked": story["overkill"],
        "escape_asked": story["escape"],
        "guarantee": story["guarantee"],
        "promised": story["promised"],
        "images": story["images"],
        "counted": "images" if story["captures"] == "apart" else "parts",
        "smallest": story["smallest"],
        "outliers": story["outliers"],
        "notes": story["notes"],
        "defective_images": len(story["defect_scores"]),
        "not_judged": problems,
        "costs": costs(story, limits),
        "choices": choices(story),
        "history": story["history"],
    }
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        show(answer)


def _wish(
    current: dict[str, Any],
    overkill: str | None,
    escape: str | None,
    ok: float | None,
    ng: float | None,
) -> Any:
    from goodpart.recipe import parse_recipe

    wish: dict[str, Any] = {"overkill": current["overkill"]}
    if overkill is not None:
        wish["overkill"] = parse_rate(overkill)
    if escape is not None:
        wish["escape"] = parse_rate(escape)
    if ok is not None or ng is not None:
        wish |= {"ok": ng if ok is None else ok, "ng": ok if ng is None else ng}
    return parse_recipe({"limits": wish}, where="limits").limits


def _why(overkill: str | None, escape: str | None, ok: float | None, ng: float | None) -> str:
    given = {"--overkill": overkill, "--escape": escape, "--ok": ok, "--ng": ng}
    words = [f"{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(["limits", *(words or ["--defects"])])


def _with_defects(
    model: Path, story: dict[str, Any], folder: Path
) -> tuple[dict[str, Any], list[str]]:
    from goodpart.calibration import defect_files, score_defects
    from goodpart.model import load

    files = defect_files(folder)
    loaded = load(model)
    with progress_bar() as progress:
        scores, problems = score_defects(loaded, files, progress)
    return {**story, "defect_scores": scores}, problems


def show(answer: dict[str, Any]) -> None:
    """Print the limits for people."""
    from rich.table import Table

    say = console()
    limits, before, costs = answer["limits"], answer["before"], answer["costs"]
    if limits != before:
        say.print(f"before: {_limits(before)}")
    say.print(f"{answer['model']}: {_limits(limits)}", markup=False)
    for note in answer["notes"]:
        say.print(f"  {note}", markup=False)
    if answer["guarantee"] in MEANINGS:
        say.print(f"  {answer['guarantee']}: {MEANINGS[answer['guarantee']]}", markup=False)
    for name in answer["outliers"]:
        say.print(f"  stands out: {name}", style="yellow", markup=False)
    for message in answer["not_judged"]:
        say.print(f"  left out: {message}", style="yellow", markup=False)
    counted = answer["counted"]
    say.print(f"{f'good {counted} judged NG':<26}{_rate(costs['overkill'])}")
    say.print(f"{f'good {counted} to CHECK':<26}{_rate(costs['check_good'])}")
    if answer["defective_images"]:
        say.print(f"defective images OK       {_rate(costs['escape'])}")
        say.print(f"defective images to CHECK {_rate(costs['check_defective'])}")
    table = Table(title="what one limit would cost", title_justify="left")
    for column in ("overkill", "limit", f"good {counted} NG", "defective images OK"):
        table.add_column(column, justify="right")
    for row in answer["choices"]:
        table.add_row(
            f"{row['overkill']:.2%}",
            f"{row['limit']:.4g}",
            _rate(row["overkill_found"]),
            _rate(row["escape"]),
        )
    say.print(table)
    say.print(
        f"the smallest overkill that {answer['images']} {answer['counted']} can promise: "
        f"{answer['smallest']:.2%}; in brackets: 95 % bounds (Clopper-Pearson)"
    )
    for entry in answer["history"][1:]:
        say.print(f"{entry['at']}  {entry['why']}: {_limits(entry['limits'])}", markup=False)


def _limits(limits: dict[str, float]) -> str:
    if limits["ok"] == limits["ng"]:
        return f"one limit {limits['ng']:.4g}"
    return f"ok {limits['ok']:.4g}, ng {limits['ng']:.4g}, CHECK between"


def _rate(rate: dict[str, Any]) -> str:
    if rate["rate"] is None:
        return "–"
    low, high = rate["interval95"]
    return f"{rate['count']}/{rate['n']} {rate['rate']:.1%} ({low:.1%}..{high:.1%})"
