"""``goodpart demo``: the whole story on rendered caps."""

from __future__ import annotations

import shlex
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer

from goodpart.cli.common import console, progress_bar
from goodpart.errors import DataError

# Says that a folder was written by the demo and may be replaced by it.
MARK = ".goodpart-demo"
TRAY_SIZE = (1632, 1366)


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("goodpart-demo"),
    detector: Annotated[str | None, typer.Option("--detector", help="Which detector.")] = None,
    trays: Annotated[
        int, typer.Option("--trays", min=5, help="Trays of five good caps to render.")
    ] = 40,
    defective: Annotated[
        int, typer.Option("--defective", min=1, help="Trays of each defect to render.")
    ] = 4,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier demo.")] = False,
) -> None:
    """Render trays of caps, cut out the parts, look at them, train, evaluate, write a report.

    Needs no data and no internet. Each step is a verb, shown as you would type it. All pictures
    are rendered by goodpart and say so in their names.

    Example: goodpart demo
    """
    from goodpart.cli import evaluate, predict, prepare, stats, train
    from goodpart.evaluation.plots import require_matplotlib

    require_matplotlib()
    _make_room(out, force=force)
    start = time.perf_counter()
    _render(out / "trays", trays, defective)
    model, caps = out / "model", out / "caps"
    _say("prepare", out / "trays", caps)
    prepare.command(trays=out / "trays", out=caps)
    _say("stats", caps, "--out", out / "statistics")
    stats.command(data=caps, out=out / "statistics")
    options = () if detector is None else ("--detector", detector)
    _say("train", caps, "--out", model, *options)
    train.command(data=caps, out=model, detector=detector)
    _say("evaluate", model, caps, "--out", out / "report")
    evaluate.command(model=model, data=caps, out=out / "report")
    images = _one_of_each(caps)
    _say("predict", model, *images, "--out", out / "results")
    predict.command(model=model, images=images, out=out / "results")
    say = console()
    say.print(f"\nall of it took {time.perf_counter() - start:.0f} s; look at", style="bold")
    for name, what in (
        ("report/report.html", "the report: open it in a browser"),
        ("statistics", "what is in the data"),
        ("results", "heatmap.png, histogram.png and result.txt of some test images"),
        ("model", "the model: goodpart predict MODEL IMAGE --out DIR"),
        ("caps", "the parts that were cut out of the rendered trays"),
    ):
        say.print(f"  {out / name!s:<34} {what}", markup=False)


def _say(*words: str | Path) -> None:
    console().print(f"\n$ goodpart {shlex.join(map(str, words))}", style="bold", markup=False)


def _render(folder: Path, trays: int, defective: int) -> None:
    from goodpart.parts.render import write_trays

    with progress_bar() as progress:
        write_trays(
            folder,
            normal=trays,
            defective=defective,
            size=TRAY_SIZE,
            progress=lambda done, total: progress("rendering", done, total),
        )


def _one_of_each(caps: Path) -> list[Path]:
    """The first test image of each class."""
    from goodpart.parts.dataset import load_dataset

    return list({item.label: item.path for item in reversed(load_dataset(caps).test())}.values())


def _make_room(out: Path, *, force: bool) -> None:
    """Create the folder; with ``force`` replace an earlier demo, never anything else."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / MARK).is_file():
            raise DataError(f"{out}: exists and is not a demo; give another --out")
        if not force:
            raise DataError(f"{out}: exists already; give another --out or add --force")
        shutil.rmtree(out)
    elif out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder to write to")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error.strerror or error}") from None
