"""Kill the watcher again and again while files arrive: none may be lost, none judged twice.

Several writers drop files in pieces of random size, in four manners: renamed into place, written
in one go, opened again for each piece, and slowly. Meanwhile the watcher is killed with SIGKILL.

    python benchmarks/watch_kill.py --files 10000 --kills 50
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from results import write_table
from watch_common import Line, encoded, make_model, others_load, report

SUFFIXES = (".png", ".jpg", ".bmp")


def image(number: int) -> tuple[str, bytes]:
    """Name and bytes of a file; every third part is defective."""
    suffix = SUFFIXES[number % len(SUFFIXES)]
    return f"part{number:05d}{suffix}", encoded(number, defect=number % 3 == 0, suffix=suffix)


def write(line: Line, name: str, data: bytes, rng: random.Random) -> None:
    """Drop one file in pieces."""
    pieces = []
    while data:
        size = rng.randint(1, max(2, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    manner = rng.choice(("renamed", "at once", "reopened", "slowly"))
    target = line.inbox / name
    path = line.root / f"dropped-{name}" if manner == "renamed" else target
    if manner == "reopened":
        for piece in pieces:
            with open(path, "ab") as file:
                file.write(piece)
    else:
        with open(path, "wb") as file:
            for piece in pieces:
                file.write(piece)
                file.flush()
                if manner == "slowly":
                    time.sleep(rng.uniform(0, 0.05))
    if manner == "renamed":
        os.rename(path, target)


class Pace:
    """Lets so many files be written, so that each life of the watcher has some to judge."""

    def __init__(self) -> None:
        self.allowed = 0
        self._changed = threading.Condition()

    def allow(self, files: int) -> None:
        """From now on so many in all."""
        with self._changed:
            self.allowed = files
            self._changed.notify_all()

    def wait(self, number: int) -> None:
        """Until a file may be written."""
        with self._changed:
            self._changed.wait_for(lambda: number < self.allowed)


def write_all(line: Line, numbers: list[int], pace: Pace, seed: int) -> None:
    """One writer."""
    rng = random.Random(seed)
    for number in numbers:
        pace.wait(number)
        write(line, *image(number), rng)


def measure(root: Path, files: int, kills: int, writers: int, seed: int) -> dict[str, Any]:
    """Run it; the figures, of which ``wrong`` must be empty."""
    rng = random.Random(seed)
    line = Line(root, make_model(root / "model"))
    pace = Pace()
    threads = [
        threading.Thread(
            target=write_all, args=(line, list(range(w, files, writers)), pace, seed + w)
        )
        for w in range(writers)
    ]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    to_first: list[float] = []
    for life in range(kills):
        pace.allow(files * (life + 1) // (kills + 1))
        before, start = line.count(), time.monotonic()
        # Each life judges its share, so that the kills are spread over the whole run.
        enough = before + max(1, min(pace.allowed - before, rng.randint(1, 2 * files // kills)))
        line.start()
        first = 0.0
        while (count := line.count()) < enough:
            if count > before and not first:
                first = time.monotonic() - start
            if time.monotonic() - start > 300:
                raise RuntimeError(f"nothing for 5 minutes: {line.log.read_text()[-2000:]}")
            time.sleep(0.02)
        to_first.append(first or time.monotonic() - start)
        time.sleep(rng.uniform(0, 0.2))
        line.kill()
        print(f"killed, {line.count()} recorded", file=sys.stderr)
    line.start()
    pace.allow(files)
    for thread in threads:
        thread.join()
    end = time.monotonic() + 300
    while (count := line.count()) < files and time.monotonic() < end:
        time.sleep(0.2)
        if line.count() > count:
            end = time.monotonic() + 300
    time.sleep(3)
    status = line.stop()
    figures = check(line, files)
    if status != 0:
        figures["wrong"]["exit status"] = status
    figures |= {
        "files": files,
        "kills": kills,
        "seconds": round(time.monotonic() - begin, 1),
        "restart_to_first_verdict_s": {
            "p50": round(sorted(to_first)[len(to_first) // 2], 2),
            "max": round(max(to_first), 2),
        },
    }
    return figures


def check(line: Line, files: int) -> dict[str, Any]:
    """Compare what is recorded with what was written."""
    import goodpart

    model = goodpart.load(line.model)
    records = line.records()
    by_name = {record.inspection.source: record.inspection for record in records}
    expected = {}
    for number in range(files):
        name, data = image(number)
        expected[name] = (hashlib.sha256(data).hexdigest(), data)
    times = Counter(record.inspection.source for record in records)
    partial = [n for n, i in by_name.items() if n in expected and i.sha256 != expected[n][0]]
    other = [
        name
        for name, inspection in by_name.items()
        if name in expected
        and name not in partial
        and inspection.verdict is not model.inspect(expected[name][1]).verdict
    ]
    texts = {
        p.parent.name: p.read_text().splitlines()[0] for p in line.results.glob("part*/result.txt")
    }
    mixed = [
        i.part
        for i in by_name.values()
        if texts.get(i.part) != f"result : {'Good' if i.verdict == 'OK' else 'Bad'}"
    ]
    shelved = sum(
        1 for shelf in ("done", "ng", "quarantine") for _ in (line.results / shelf).glob("*/*")
    )
    connection = sqlite3.connect(line.database)
    integrity = connection.execute("pragma integrity_check").fetchone()[0]
    connection.close()
    from goodpart.records import Records

    with Records.open(line.url) as database:
        audit = database.verify()
    wrong = {
        "lost": sorted(set(expected) - set(by_name))[:5],
        "twice": [name for name, n in times.items() if n > 1][:5],
        "unknown": sorted(set(by_name) - set(expected))[:5],
        "partial bytes": partial[:5],
        "another verdict": other[:5],
        "result differs from record": mixed[:5],
        "database": "" if integrity == "ok" else integrity,
        "audit trail": [str(problem) for problem in audit.problems[:5]],
        "inputs": "" if shelved == files else f"{shelved} put away",
        "left": [str(p) for p in (line.inbox / ".goodpart" / "claimed").iterdir()][:5]
        + [str(p) for p in (line.results / ".goodpart" / "staged").iterdir()][:5],
    }
    return {
        "records": len(records),
        "verdicts": dict(Counter(str(record.inspection.verdict) for record in records)),
        "integrity_check": integrity,
        "audit_entries": audit.entries,
        "wrong": {what: found for what, found in wrong.items() if found},
    }


def _none(wrong: dict[str, Any]) -> str:
    return ", ".join(wrong) if wrong else "none"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="write the documentation's table")
    arguments = parser.parse_args()
    load = others_load()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(
            Path(folder), arguments.files, arguments.kills, arguments.writers, arguments.seed
        )
    report(figures)
    if arguments.table:
        seconds = figures["restart_to_first_verdict_s"]
        write_table(
            "watch_kill",
            title="Files dropped in pieces by several writers, the watcher killed meanwhile",
            columns=["", "figure"],
            rows=[
                ["files", f"{figures['files']:,}"],
                ["SIGKILLs", str(figures["kills"])],
                ["records", f"{figures['records']:,}"],
                ["lost, twice, from partial bytes, other verdict", _none(figures["wrong"])],
                ["database integrity check", figures["integrity_check"]],
                ["restart to first verdict, p50", f"{seconds['p50']} s"],
                ["restart to first verdict, longest", f"{seconds['max']} s"],
                ["load average of other work before", load],
            ],
        )
    sys.exit(1 if figures["wrong"] else 0)


if __name__ == "__main__":
    main()
