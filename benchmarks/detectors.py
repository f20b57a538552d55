"""How well the detectors separate good from defective, and what that costs, at default settings.

Run with::

    python benchmarks/detectors.py DATA=../shared/data [DETECTORS=ensemble,gaussian] [WORK=folder]

``DATA`` is the folder that holds the data sets. Everything is chosen on ``train/``; ``test/`` is
opened once, by ``evaluate``. Every row holds for the same default setting and one limit
(``ok = ng``) at an overkill of 1 %. Each step is a process of its own, as on the command line.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import run
from results import write_table

SETS = ("casting", "magnetic_tile", "grid")
COLUMNS = (
    "data set",
    "detector",
    "image AUROC",
    "pixel AUROC",
    "AUPRO",
    "overkill (95 % bound)",
    "escape (95 % bound)",
    "not judged",
    "training",
    "ms/image p50",
    "p95",
    "peak memory",
)


def measure(data: Path, detector: str, work: Path) -> dict[str, Any]:
    """Train, evaluate and predict one image, each in a process of its own."""
    model, figures = work / f"{data.name}-{detector}", work / f"{data.name}-{detector}.json"
    training = run(["train", str(data), "--out", str(model), "--detector", detector, "--force"])
    run(["evaluate", str(model), str(data), "--json", str(figures)])
    image = sorted((data / "test" / "good").iterdir())[0]
    found: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    found["training"] = training
    found["predict"] = run(["predict", str(model), str(image)])
    return found


def cells(name: str, detector: str, found: dict[str, Any]) -> list[str]:
    """A row of the table."""

    def rate(kind: str) -> str:
        values = found[kind]
        share, bound = values["rate"], values["upper95"]
        return f"{share:.1%} ({values['count']}/{values['n']}; {bound:.1%})"

    def number(key: str) -> str:
        return "–" if found[key] is None else f"{found[key]:.4f}"

    seconds = found["seconds_per_image"]
    return [
        name,
        detector,
        number("image_auroc"),
        number("pixel_auroc"),
        number("aupro"),
        rate("overkill"),
        rate("escape"),
        str(sum(found["not_judged"][side]["count"] for side in ("good", "defective"))),
        f"{found['training']['seconds']:.0f} s",
        f"{seconds['p50'] * 1e3:.1f}",
        f"{seconds['p95'] * 1e3:.1f}",
        f"{found['predict']['peak_mib']:.0f} MiB",
    ]


def main() -> None:
    """Print the table and keep it for the documentation."""
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if "DATA" not in options:
        sys.exit("usage: python benchmarks/detectors.py DATA=folder [DETECTORS=...] [WORK=folder]")
    detectors = options.get("DETECTORS", "ensemble,gaussian,memory,student,variation").split(",")
    rows = []
    with tempfile.TemporaryDirectory(prefix="goodpart-bench-") as folder:
        work = Path(options.get("WORK", folder))
        work.mkdir(parents=True, exist_ok=True)
        for detector in detectors:
            for name in SETS:
                rows.append(
                    cells(name, detector, measure(Path(options["DATA"]) / name, detector, work))
                )
                print("  ".join(rows[-1]), flush=True)
    write_table(
        "detectors",
        title="Detectors at their default settings, overkill 1 %, one limit",
        columns=COLUMNS,
        rows=rows,
        command=f"python benchmarks/detectors.py DATA=data DETECTORS={','.join(detectors)}",
    )


if __name__ == "__main__":
    main()
