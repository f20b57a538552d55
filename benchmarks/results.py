"""Write a benchmark's table where the documentation takes its figures from.

``write_table("NAME", ...)`` writes ``benchmarks/results/NAME.json``; a page that says
``<!-- benchmark: NAME -->`` gets the table with ``python tools/refresh_docs.py``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from goodpart.decision.limits import clopper_pearson

FOLDER = Path(__file__).parent / "results"


def machine() -> str:
    """The processor, its cores and the system."""
    info = Path("/proc/cpuinfo")
    name = platform.machine()
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def told(count: int, n: int) -> str:
    """A count with its rate and the exact 95 % bounds of it."""
    low, high = clopper_pearson(count, n)
    return f"{count} of {n}: {count / n:.1%} ({low:.1%} to {high:.1%})"


def write_table(
    name: str,
    *,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    command: str | None = None,
) -> Path:
    """Write a table of cells as they are to be read.

    Parameters
    ----------
    name : str
        Of the file, without suffix.
    title : str
    columns, rows : sequences of str
    command : str, optional
        What prints the figures again, naming data sets, not paths; by default this call.

    Returns
    -------
    Path
    """
    table = {
        "title": title,
        "command": command or " ".join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "machine": machine(),
        "columns": list(columns),
        "rows": [list(row) for row in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
