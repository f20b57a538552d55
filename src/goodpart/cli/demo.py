"""``goodpart demo``: the whole story on rendered caps."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, progress_bar
from goodpart.errors import DataError

# Says that a folder was written by the demo and may be replaced by it.
MARK = ".goodpart-demo"


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("goodpart-demo"),
    detector: Annotated[str | None, typer.Option("--detector", help="Which detector.")] = None,
    normal: Annotated[int, typer.Option("--normal", min=20, help="Good caps to render.")] = 150,
    defective: Annotated[
        int, typer.Option("--defective", min=2, help="Caps of each defect to render.")
    ] = 20,
    size: Annotated[int, typer.Option("--size", min=64, max=1024, help="Pixels per side.")] = 384,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier demo.")] = False,
) -> None:
    """Render caps, look at the data, train, evaluate, and write a report.

    Needs no data and no internet. The pictures are rendered by goodpart and say so in their names.

    Example: goodpart demo
    """
    from goodpart.cli.evaluate import show
    from goodpart.evaluation.plots import require_matplotlib

    require_matplotlib()
    _make_room(out, force=force)
    start = time.perf_counter()
    with progress_bar() as progress:
        answer = run(
            out, detector, normal=normal, defective=defective, size=size, progress=progress
        )
    say = console()
    show(answer)
    say.print(f"all of it took {time.perf_counter() - start:.0f} s; look at")
    for name, what in (
        ("report/report.html", "the report: open it in a browser"),
        ("statistics", "what is in the data"),
        ("results", "heatmap.png, histogram.png and result.txt of some test images"),
        ("model", "the model: goodpart predict MODEL IMAGE --out DIR"),
        ("caps", "the rendered caps"),
    ):
        say.print(f"  {out / name!s:<34} {what}", markup=False)


def run(
    out: Path, detector: str | None, *, normal: int, defective: int, size: int, progress: Any
) -> dict[str, Any]:
    """Every step, each as its verb does it; returns what ``evaluate --json`` writes."""
    from goodpart.cli.predict import write_results
    from goodpart.evaluation.data_report import write_statistics
    from goodpart.evaluation.evaluate import evaluate, require_test_items
    from goodpart.evaluation.report import write_report
    from goodpart.fitting import fit
    from goodpart.parts.dataset import load_dataset
    from goodpart.parts.render import write_parts
    from goodpart.parts.statistics import gather_statistics

    write_parts(
        out / "caps",
        normal=normal,
        defective=defective,
        size=size,
        progress=lambda done, total: progress("rendering", done, total),
    )
    dataset = load_dataset(out / "caps")
    write_statistics(out / "statistics", gather_statistics(dataset, progress=progress), progress)
    model = fit(out / "caps", detector=detector, workdir=out / "training", progress=progress)
    model.save(out / "model")
    items = require_test_items(dataset)
    result = evaluate(model, items, progress=progress)
    write_report(out / "report", [model], [result], dataset, names=["demo"], progress=progress)
    shown = {item.label: item.path for item in reversed(items)}
    write_results(model, list(shown.values()), out / "results")
    return {"model": str(out / "model"), "data": str(out / "caps"), **result.to_dict()}


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
