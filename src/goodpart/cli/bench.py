"""``goodpart bench``: latency and memory of a model on this machine."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from goodpart.cli.common import console, engine_name, progress_bar, write_json
from goodpart.errors import DataError

WARM_UP = 3
# Files kept in memory, so that what is measured is the inspection and not the disk.
MOST_FILES = 64
STEPS = ("decode", "locate", "score", "decide")


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    data: Annotated[Path, typer.Argument(help="Data folder, folder of images, or one image.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Inspections to time.")] = 200,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="onnxruntime, openvino (both fp32) or openvino-bf16."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the answer as JSON (alone: to stdout).")
    ] = None,
) -> None:
    """Time inspections one by one, from the bytes of a file to its verdict.

    Each image is inspected alone (batch 1) after a warm-up; files are read beforehand. The
    number of threads is set by GOODPART_THREADS.

    Example: GOODPART_THREADS=1 goodpart bench models/caps data/caps --count 500
    """
    from goodpart.model import load

    loaded = load(model, engine=engine_name(engine) if engine else None)
    files = _files(data)
    contents = [path.read_bytes() for path in files]
    with progress_bar() as progress:
        answer = measure(loaded, contents, count, progress)
    answer = {"model": str(model), "data": str(data), **answer}
    if json_file is not None:
        write_json(answer, json_file)
    if str(json_file) != "-":
        show(answer)


def _files(data: Path) -> list[Path]:
    """At most 64 readable images, spread evenly over the folder."""
    from goodpart.parts.dataset import load_dataset

    if data.is_file():
        return [data]
    paths = [item.path for item in load_dataset(data).items]
    step = max(1, len(paths) // MOST_FILES)
    return paths[::step][:MOST_FILES]


def measure(model: Any, contents: list[bytes], count: int, progress: Any) -> dict[str, Any]:
    """Inspect ``count`` times, round and round over the images.

    Raises
    ------
    DataError
        None of the images can be judged.
    """
    from goodpart.decision import Verdict
    from goodpart.decision.metrics import quantiles
    from goodpart.detectors.engine import default_threads
    from goodpart.progress import track

    for data in contents[:WARM_UP]:
        model.inspect_all(data)
    totals: list[float] = []
    steps: dict[str, list[float]] = {name: [] for name in STEPS}
    parts = failed = 0
    for place in track(range(count), "timing", count, progress):
        start = time.perf_counter()
        found = model.inspect_all(contents[place % len(contents)])
        seconds = time.perf_counter() - start
        judged = [one for one in found if one.verdict is not Verdict.NOT_JUDGED]
        failed += len(found) - len(judged)
        parts += len(judged)
        if judged:
            totals.append(seconds * 1e3)
            for name in STEPS:
                steps[name].append(sum(one.timings.get(name, 0.0) for one in judged))
    if not totals:
        raise DataError(f"none of the images can be judged; the first: {found[0].message}")
    return {
        "detector": model.detector.name,
        "inspections": len(totals),
        "parts": parts,
        "not_judged": failed,
        "part_size": list(model.recipe.part.size),
        "milliseconds": {
            "total": quantiles(totals),
            **{name: quantiles(values) for name, values in steps.items()},
        },
        "images_per_second": 1e3 * len(totals) / sum(totals),
        "peak_memory_mb": peak_memory_mb(),
        "threads": default_threads(),
        "engine": model.detector.engine,
        "machine": machine(),
    }


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process in MiB; ``None`` where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)


def machine() -> str:
    """The processor, its cores and the system."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def show(answer: dict[str, Any]) -> None:
    """Print the figures for people."""
    from rich.table import Table

    say = console()
    height, width = answer["part_size"]
    table = Table(
        title=f"{answer['model']} ({answer['detector']}, {width}x{height}), "
        f"{answer['inspections']} inspections",
        title_justify="left",
    )
    for column in ("ms per image", "p50", "p95"):
        table.add_column(column, justify="left" if column == "ms per image" else "right")
    for name, row in answer["milliseconds"].items():
        table.add_row(name, f"{row['p50']:.2f}", f"{row['p95']:.2f}")
    say.print(table)
    memory = answer["peak_memory_mb"]
    peak = "" if memory is None else f", peak memory {memory:.0f} MiB"
    threads = f"{answer['threads']} thread" + ("s" if answer["threads"] != 1 else "")
    say.print(f"{answer['images_per_second']:.1f} images/s, {threads}, {answer['engine']}{peak}")
    say.print(answer["machine"])
    if answer["not_judged"]:
        say.print(f"{answer['not_judged']} parts were not judged", style="yellow")
