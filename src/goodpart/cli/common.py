"""What verbs share: settings, progress bars, JSON answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodpart.errors import DataError, GoodpartError
from goodpart.progress import Progress

if TYPE_CHECKING:
    from goodpart.detectors.engine import EngineName


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A listener that draws one bar for each stage, on standard error.

    Where standard error is no terminal, each stage is named once instead.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:

        def listen(stage: str, done: int, total: int) -> None:
            # "epoch 3/30 loss 0.01" and the like: the first word names the bar.
            key = stage.split(" ", 1)[0]
            if key not in tasks:
                tasks[key] = bars.add_task(stage, total=total)
                if not console.is_terminal:
                    print(f"{key} ...", file=sys.stderr, flush=True)
            bars.update(tasks[key], completed=done, total=total, description=stage)

        yield listen


def write_json(answer: Any, target: Path | None) -> None:
    """Write an answer as JSON to a file, or to standard output where ``target`` is ``-``.

    Raises
    ------
    GoodpartError
        The file cannot be written.
    """
    text = json.dumps(answer, indent=2, ensure_ascii=False, allow_nan=False)
    if target is None or str(target) == "-":
        print(text)
        return
    try:
        target.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise GoodpartError(f"{target}: cannot be written: {error.strerror or error}") from None


def parse_rate(text: str) -> float:
    """A rate as people write it: ``0.5%`` or ``0.005``.

    Raises
    ------
    GoodpartError
        It is not a number between 0 and 1.
    """
    cleaned = text.strip().replace(",", ".")
    try:
        percent = cleaned.endswith("%")
        value = float(cleaned.removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise GoodpartError(f"{text!r} is not a rate: write it as 0.5% or 0.005")
    return value


def engine_name(text: str) -> EngineName:
    """What ``--engine`` takes: ``onnxruntime``, ``openvino`` or ``openvino-bf16``.

    Raises
    ------
    GoodpartError
        There is no such engine.
    """
    from goodpart.detectors.engine import ENGINES

    for name in ENGINES:
        if text == name:
            return name
    raise GoodpartError(f"--engine {text}: there are {', '.join(ENGINES)}")


def expand_images(images: list[Path]) -> list[Path]:
    """Files as given, and the image files of folders.

    Raises
    ------
    DataError
        There is no such file, or no image in a folder.
    """
    from goodpart.parts.dataset import image_files

    files: list[Path] = []
    for path in images:
        if path.is_dir():
            found = image_files(path)
            if not found:
                raise DataError(f"{path}: no images in this folder")
            files += found
        elif path.exists():
            files.append(path)
        else:
            raise DataError(f"{path}: no such file or folder")
    return files


def console() -> Any:
    """Standard output for people."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)
