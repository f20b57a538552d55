"""What the measurements of the watch folder share: a small model, images, a watcher process."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SETTLING = {"settle": 0.2, "broken_after": 2.0}


def part_pixels(seed: int, *, side: int = 64, defect: bool = False) -> NDArray[np.uint8]:
    """A disc on a dark ground, (side, side) uint8; with a bright blot where defective."""
    rng = np.random.default_rng(seed)
    pixels = np.full((side, side), 60, dtype=np.uint8)
    cv2.circle(pixels, (side // 2, side // 2), side // 3, 170, -1)
    if defect:
        place = int(rng.integers(side * 3 // 8, side * 5 // 8))
        cv2.circle(pixels, (place, side // 2), side // 10, 235, -1)
    noise = rng.normal(0, 2, pixels.shape)
    return np.clip(cv2.GaussianBlur(pixels, (0, 0), 1) + noise, 0, 255).astype(np.uint8)


def encoded(
    seed: int, *, side: int = 64, defect: bool = False, suffix: str = ".png", color: bool = False
) -> bytes:
    """The same as the bytes of an image file."""
    pixels: NDArray[Any] = part_pixels(seed, side=side, defect=defect)
    if color:
        pixels = np.stack([pixels, pixels // 2, 255 - pixels], axis=2)
    done, data = cv2.imencode(suffix, pixels)
    assert done
    return data.tobytes()


def make_model(folder: Path, *, detector: str | None = "variation", side: int = 64) -> Path:
    """Train on forty discs; ``None``: the default detector."""
    import goodpart

    images = np.stack([part_pixels(seed, side=side) for seed in range(10_000_000, 10_000_040)])
    return goodpart.fit(images, detector=detector).save(folder, force=True)


def detector_of(model: Path) -> str:
    """The name of a model's detector."""
    return str(json.loads((model / "manifest.json").read_text())["detector"]["name"])


class Line:
    """Folders below ``root`` and the watcher process on them."""

    def __init__(self, root: Path, model: Path, settings: str = "") -> None:
        self.root, self.model = root, model
        self.inbox, self.results = root / "in", root / "out"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.database = root / "line.db"
        self.url = f"sqlite:///{self.database}"
        self.config = root / "line.toml"
        self.config.write_text(settings)
        self.log = root / "watch.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        """Start the watcher."""
        command = [sys.executable, "-m", "goodpart", "watch", str(self.model)]
        command += ["--inbox", str(self.inbox), "--results", str(self.results)]
        command += ["--database", self.url, "--config", str(self.config), "--quiet", *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self.root)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def health(self) -> dict[str, Any]:
        """The health file; empty where there is none yet."""
        try:
            return json.loads((self.results / "health.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}  # not there yet, or being written over on a full disk

    def running(self, longest: float = 60.0) -> None:
        """Wait until this process says that it runs."""
        assert self.process is not None
        end = time.monotonic() + longest
        while True:
            health = self.health()
            if health.get("state") == "running" and health["pid"] == self.process.pid:
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the watcher does not run: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def drop(self, name: str, data: bytes) -> None:
        """Rename a file into place."""
        temporary = self.root / f"dropped-{os.getpid()}"
        temporary.write_bytes(data)
        os.rename(temporary, self.inbox / name)

    def count(self) -> int:
        """How many inspections are recorded (SQLite)."""
        if not self.database.exists():
            return 0
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)
        try:
            return int(connection.execute("select count(*) from inspections").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not migrated yet
        finally:
            connection.close()

    def records(self) -> list[Any]:
        """All records."""
        from goodpart.records import Filter, Records

        with Records.open(self.url) as records:
            return [record for some in records.stream(Filter()) for record in some]

    def memory(self) -> float:
        """Resident memory of the watcher in MiB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024


def others_load() -> str:
    """How busy other work keeps this machine before a measurement, as a table's cell."""
    return f"{os.getloadavg()[0]:.1f}"


def report(figures: dict[str, Any]) -> None:
    """Print figures as JSON."""
    print(json.dumps(figures, indent=2, ensure_ascii=False))
