"""A small model, images that it calls good and bad, and a line that runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.outputs.conftest import receiver as receiver

import goodpart
from goodpart.model import Model
from goodpart.records import Filter, Record, Records
from goodpart.runtime.linefile import parse_line_file
from goodpart.runtime.watch import Watcher

SIDE = 64


def part_pixels(seed: int, *, defect: bool = False) -> NDArray[np.uint8]:
    """A disc on a dark ground, (64, 64) uint8; with a bright blot where defective."""
    rng = np.random.default_rng(seed)
    pixels = np.full((SIDE, SIDE), 60, dtype=np.uint8)
    cv2.circle(pixels, (32, 32), 22, 170, -1)
    if defect:
        cv2.circle(pixels, (int(rng.integers(24, 40)), 32), 6, 255, -1)
    noisy = cv2.GaussianBlur(pixels, (0, 0), 1).astype(np.float32) + rng.normal(0, 2, pixels.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encoded(seed: int, *, defect: bool = False, suffix: str = ".png") -> bytes:
    """The same as the bytes of an image file."""
    done, data = cv2.imencode(suffix, part_pixels(seed, defect=defect))
    assert done
    return data.tobytes()


def verdict_of(text: str) -> str:
    """The verdict in a normal result.txt."""
    return text.splitlines()[1].removeprefix("verdict : ")


@pytest.fixture(scope="session")
def model() -> Model:
    """A variation model of forty discs."""
    return goodpart.fit(
        np.stack([part_pixels(seed) for seed in range(1000, 1040)]), detector="variation"
    )


@pytest.fixture(scope="session")
def model_folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, saved."""
    return model.save(tmp_path_factory.mktemp("models") / "discs")


class Running:
    """A watcher in a thread, with its folders below ``root``."""

    def __init__(self, model: Model, root: Path, **sections: Any) -> None:
        self.root = root
        self.inbox, self.results = root / "in", root / "out"
        self.inbox.mkdir(exist_ok=True)
        self.url = f"sqlite:///{root / 'line.db'}"
        values: dict[str, Any] = {
            "folders": {"inbox": self.inbox, "results": self.results},
            "database": {"url": self.url},
            "health": {"every": 0.1},
        }
        watch = {"settle": 0.1, "broken_after": 0.3, "rescan": 0.3}
        for name, section in {"watch": {}, **sections}.items():
            base = watch if name == "watch" else values.get(name, {})
            values[name] = {**base, **section} if isinstance(section, dict) else section
        self.watcher = Watcher(model, parse_line_file(values))
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.watcher.run()
        except BaseException as error:
            self.error = error

    def drop(self, name: str, data: bytes) -> None:
        """Rename a file into place."""
        (self.root / "dropped").write_bytes(data)
        os.rename(self.root / "dropped", self.inbox / name)

    def until(self, done: Callable[[], object], longest: float = 15.0) -> None:
        """Wait for something to become true."""
        end = time.monotonic() + longest
        while not done():
            assert time.monotonic() < end, f"not in time; the line says {self.watcher.answer()}"
            time.sleep(0.005)

    def finished(self, count: int) -> None:
        """Wait until so many arrivals are finished."""
        self.until(lambda: self.watcher.health.arrivals >= count)

    def wait_for_end(self) -> BaseException | None:
        """Wait until it ends by itself; what it raised."""
        self._thread.join(15)
        assert not self._thread.is_alive()
        return self.error

    def stop(self) -> None:
        """Stop it; what it raised is raised here."""
        self.watcher.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error

    def records(self) -> list[Record]:
        """All records, oldest first."""
        with Records.open(self.url) as records:
            return [record for some in records.stream(Filter()) for record in some]

    def put_away(self, shelf: str) -> list[str]:
        """Names on a shelf."""
        return sorted(p.name for p in (self.results / shelf).glob("*/*"))

    def left(self) -> list[Path]:
        """What is neither in the inbox nor on a shelf: claims and staged files."""
        own = [self.inbox / ".goodpart" / "claimed", self.results / ".goodpart" / "staged"]
        return [path for folder in own for path in folder.rglob("*") if not path.is_dir()]


@pytest.fixture
def run(model: Model, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a watcher: ``run(watch={...}, outputs={...})``; stopped at the end."""
    started: list[Running] = []

    def start(**sections: Any) -> Running:
        started.append(Running(model, tmp_path, **sections))
        return started[-1]

    yield start
    for line in started:
        line.watcher.stop()
        line._thread.join(30)
        assert not line._thread.is_alive()
