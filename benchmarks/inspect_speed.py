"""How long one inspection takes, from the bytes of a file to its verdict, and what it finds.

Run with::

    python benchmarks/inspect_speed.py DATA=../shared/data [SETS=casting,magnetic_tile,grid] \
        [RESOLUTIONS=384,256] [COUNT=300] [WORK=folder]

The default detector is trained on each set at each resolution (the longer side of what its network
sees) and evaluated; trained models and their figures are kept in ``WORK``. Then ``goodpart bench``
times them one by one, with as many threads as it takes by itself: nothing else should run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import run
from results import write_table


def found(data: Path, work: Path, resolution: str) -> tuple[Path, dict[str, Any]]:
    """A trained model and its evaluation, from an earlier call where there was one."""
    model = work / f"{data.name}-{resolution}"
    answer = work / f"{model.name}.json"
    if not answer.is_file():
        setting = f"detector.settings.resolution={resolution}"
        run(["train", str(data), "--out", str(model), "--force", "--set", setting])
        run(["evaluate", str(model), str(data), "--json", str(answer)])
    return model, json.loads(answer.read_text(encoding="utf-8"))


def main() -> None:
    given = {"SETS": "casting,magnetic_tile,grid", "RESOLUTIONS": "384,256", "COUNT": "300"}
    given.update(argument.split("=", 1) for argument in sys.argv[1:])
    if "DATA" not in given:
        sys.exit("DATA=folder: the folder that holds the data sets")
    work = Path(given.get("WORK") or tempfile.mkdtemp(prefix="goodpart-speed-"))
    work.mkdir(parents=True, exist_ok=True)
    cells = [
        (Path(given["DATA"]) / name, resolution)
        for resolution in given["RESOLUTIONS"].split(",")
        for name in given["SETS"].split(",")
    ]
    models = [(data, resolution, *found(data, work, resolution)) for data, resolution in cells]
    rows = []
    for data, resolution, model, figures in models:
        answer = work / "bench.json"
        run(["bench", str(model), str(data), "--count", given["COUNT"], "--json", str(answer)])
        timed = json.loads(answer.read_text(encoding="utf-8"))
        parts = timed["milliseconds"]
        aupro = figures["aupro"]
        rows.append(
            [
                data.name,
                resolution,
                f"{figures['image_auroc']:.4f}",
                "–" if aupro is None else f"{aupro:.4f}",
                f"{figures['escape']['rate']:.1%}",
                *(f"{parts['total'][key]:.1f}" for key in ("p50", "p95")),
                *(f"{parts[key]['p50']:.1f}" for key in ("decode", "locate", "score", "decide")),
                f"{timed['peak_memory_mb']:.0f} MiB",
            ]
        )
        print(rows[-1], flush=True)
    write_table(
        "inspect_speed",
        title="Milliseconds of one inspection at the default settings, and with a network that "
        f"sees 256 pixels; {timed['threads']} threads",
        columns=(
            "data set",
            "pixels",
            "image AUROC",
            "AUPRO",
            "escape",
            "p50",
            "p95",
            "decode",
            "locate",
            "score",
            "decide",
            "memory",
        ),
        rows=rows,
        command="python benchmarks/inspect_speed.py DATA=data",
    )


if __name__ == "__main__":
    main()
