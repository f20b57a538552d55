"""``goodpart stats``: what is in a data folder, and what does not belong there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar, write_json
from goodpart.errors import DataError
from goodpart.parts.statistics import MEASURES

BAR = 40
SHOWN = 8


def command(
    data: Annotated[Path, typer.Argument(help="Data folder, in any of the three layouts.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for charts, a table and the contact sheet."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace earlier statistics.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Count the images of DATA and find those that would spoil a model.

    Shows counts per class, sizes, brightness and focus; exact and near duplicates (also turned,
    mirrored, re-encoded or with noise), copies on both sides of the split, copies with different
    labels, and good images that are unlike the others, with a contact sheet of the suspicious.

    Example: goodpart stats data/caps --out statistics
    """
    from goodpart.parts.dataset import load_dataset
    from goodpart.parts.statistics import gather_statistics

    dataset = load_dataset(data)
    if out is not None:
        _check_out(out, force=force)
    with progress_bar() as progress:
        statistics = gather_statistics(dataset, progress=progress)
        if out is not None:
            from goodpart.evaluation.data_report import write_statistics

            write_statistics(out, statistics, progress)
    answer = statistics.to_dict()
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        show(answer)
        if out is not None:
            console().print(f"charts, table and contact sheet: {out}")


def show(answer: dict[str, Any]) -> None:
    """Print statistics for people: a chart of the counts, then what is wrong."""
    from rich.table import Table

    say = console()
    sizes = ", ".join(f"{size} ({count})" for size, count in list(answer["sizes"].items())[:3])
    kind = "grey" if answer["grey"] else "colour"
    more = len(answer["sizes"]) - 3
    say.print(
        f"{answer['data']}: {answer['images']} images ({answer['layout']} layout), {kind}, "
        f"{'/'.join(answer['bits'])} bit; sizes {sizes}{f' and {more} more' if more > 0 else ''}"
    )
    most = max(count for classes in answer["counts"].values() for count in classes.values())
    for split in ("train", "test"):
        for label, count in answer["counts"].get(split, {}).items():
            bar = "█" * max(1, round(BAR * count / most))
            say.print(f"  {split:<5} {label:<20} {bar} {count}", markup=False)
    table = Table(title="lowest - median - highest", title_justify="left")
    table.add_column("class")
    for name in MEASURES:
        table.add_column(name, justify="right")
    for label in sorted(answer["focus"], key=lambda name: (name != "good", name)):
        rows = [answer[name][label] for name in MEASURES]
        table.add_row(label, *map(_spread, rows))
    say.print(table)
    _findings(say, answer)


def _spread(row: dict[str, float]) -> str:
    return " - ".join(f"{row[name]:.2g}" for name in ("min", "median", "max"))


def _findings(say: Any, answer: dict[str, Any]) -> None:
    def short(path: str) -> str:
        """Within the folder, as everyone knows which one it is."""
        return Path(path).relative_to(answer["data"]).as_posix()

    groups = [" = ".join(map(short, group)) for group in answer["exact_duplicates"]]
    _list(say, "exact duplicates", groups)
    for name, title in (
        ("near_duplicates", "near duplicates"),
        ("leaks", "on both sides of the split"),
        ("conflicts", "copies with different labels"),
    ):
        rows = [f"{short(r['first'])} ~ {short(r['second'])} ({r['how']})" for r in answer[name]]
        _list(say, title, rows)
    odd = []
    for row in answer["outliers"]:
        far = "" if row["deviations"] is None else f", {row['deviations']:.0f} deviations off"
        odd.append(f"{short(row['file'])} ({row['measure']}{far})")
    _list(say, "good images unlike the others", odd)
    _list(say, "unreadable", [row["message"] for row in answer["unreadable"]])


def _list(say: Any, title: str, rows: Sequence[str]) -> None:
    say.print(f"{title}: {len(rows) or 'none'}", style="yellow" if rows else "green")
    for row in rows[:SHOWN]:
        say.print(f"  {row}", markup=False)
    if len(rows) > SHOWN:
        say.print(f"  ... and {len(rows) - SHOWN} more (see --json)", markup=False)


def _check_out(out: Path, *, force: bool) -> None:
    from goodpart.evaluation.plots import require_matplotlib

    require_matplotlib()
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; give --out a folder")
    if out.is_dir() and any(out.iterdir()) and not force:
        raise DataError(f"{out}: exists already; give another --out or add --force")
