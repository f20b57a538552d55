"""``goodpart watch``: the line. Every image that arrives is judged once."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer


def command(
    model: Annotated[Path, typer.Argument(help="Model folder.")],
    inbox: Annotated[Path | None, typer.Option("--inbox", help="Where images arrive.")] = None,
    results: Annotated[
        Path | None, typer.Option("--results", help="Where results and judged images go.")
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="Records, such as sqlite:///goodpart.db.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Line file (TOML).")] = None,
    handoff: Annotated[
        str | None,
        typer.Option("--handoff", help="normal, or legacy: one fixed file name in and out."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No line for each verdict.")] = False,
) -> None:
    """Judge every image that arrives in a folder, until stopped (Ctrl-C or SIGTERM).

    Results are written to a folder for each part, inputs moved to done/, ng/ or quarantine/ by
    day, verdicts recorded in the database. How the line does stands in health.json.

    Example: goodpart watch models/caps --inbox line/in --results line/out
    """
    from goodpart.model import load
    from goodpart.runtime.linefile import LineFile, load_line_file
    from goodpart.runtime.watch import Watcher

    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname).1s %(message)s"
    )
    logging.getLogger("goodpart").setLevel(logging.WARNING if quiet else logging.INFO)
    line = load_line_file(config) if config is not None else LineFile()
    line = line.with_values(
        folders=_given(inbox=inbox, results=results),
        database=_given(url=database),
        watch=_given(handoff=handoff),
    )
    watcher = Watcher(load(model, engine=line.watch.engine), line)

    def stop(number: int, frame: Any) -> None:
        # In a thread: a handler interrupts code that may hold the very lock that stop() needs.
        threading.Thread(target=watcher.stop).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    watcher.run()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
