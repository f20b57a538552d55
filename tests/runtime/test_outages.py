"""Outages with the real thing: a full disk, PostgreSQL, an MQTT broker, the kill signal."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import encoded

from goodpart.records import Filter, Records

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LEGACY = '[watch]\nhandoff = "legacy"\nimage = "image.png"\n'


def _line_class() -> Any:
    place = Path(__file__).parents[2] / "benchmarks" / "watch_common.py"
    spec = importlib.util.spec_from_file_location("watch_common", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["watch_common"] = module
    spec.loader.exec_module(module)
    return module.Line


Line = _line_class()


@pytest.fixture
def line(model_folder: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make lines; their watchers are killed at the end."""
    made: list[Any] = []

    def make(settings: str = "", root: Path = tmp_path, url: str | None = None) -> Any:
        made.append(Line(root, model_folder, settings))
        if url is not None:
            made[-1].url = url
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.kill()


def until(
    done: Callable[[], object], longest: float = 30.0, said: Callable[[], object] = str
) -> None:
    end = time.monotonic() + longest
    while not done():
        assert time.monotonic() < end, f"not in time {said()}"
        time.sleep(0.02)


def recorded(line: Any) -> list[Any]:
    with Records.open(line.url, station="reader") as records:
        return [record for some in records.stream(Filter()) for record in some]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Take every free byte."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


def test_a_full_disk_blocks_the_line_and_freed_space_sets_it_going(
    line: Callable[..., Any], small_disk: Path
) -> None:
    watched = line(LEGACY, small_disk)
    watched.start()
    watched.running()
    result = watched.results / "result.txt"

    def all_known(health: dict[str, Any]) -> bool:
        return health["state"] == "blocked" and (
            health["queue"]["claimed"] + health["arrivals"] == 6
        )

    ready = []
    for seed in range(6):
        ready.append(small_disk / f"ready{seed}.png")
        ready[-1].write_bytes(encoded(seed, defect=seed == 5))
    os.rename(ready[0], watched.inbox / "image.png")
    until(result.exists)
    filler = fill(small_disk)
    seen: set[str] = set()
    over = threading.Event()

    def poll() -> None:
        while not over.is_set():
            claimed = not (watched.inbox / "image.png").exists()
            try:
                text = result.read_text()
            except OSError:
                text = "absent"
            if claimed:
                seen.add(text)
            time.sleep(0.001)

    # What results leave free when they are replaced may be enough for one or two.
    for file in ready[1:]:
        os.rename(file, watched.inbox / "image.png")
        until(lambda: not (watched.inbox / "image.png").exists())
    reader = threading.Thread(target=poll, daemon=True)
    reader.start()
    until(lambda: all_known(watched.health()), said=watched.health)
    health = watched.health()
    assert "No space left" in health["reason"] or "full" in health["reason"]
    assert health["queue"]["claimed"] >= 1
    over.set()
    reader.join()
    assert seen == {"absent"}
    assert "BLOCKED" in watched.log.read_text() or watched.log.stat().st_size == 0
    filler.unlink()
    until(lambda: watched.health()["arrivals"] == 6, said=watched.health)
    assert result.read_text() == "result : Bad\nNG\n"
    assert watched.health()["state"] == "running"
    assert watched.stop() == 0
    sources = [record.arrival for record in recorded(watched)]
    assert len(sources) == len(set(sources)) == 6


def test_a_kill_on_a_full_disk_loses_nothing(line: Callable[..., Any], small_disk: Path) -> None:
    watched = line("", small_disk)
    watched.start()
    watched.running()
    ready = []
    for seed in range(4):
        ready.append(small_disk / f"ready{seed}.png")
        ready[-1].write_bytes(encoded(seed))
    filler = fill(small_disk)
    for file in ready:
        os.rename(file, watched.inbox / file.name)
    until(lambda: watched.health()["state"] == "blocked", said=watched.health)
    watched.kill()
    filler.unlink()
    watched.start()
    watched.running()
    until(lambda: watched.health()["arrivals"] == 4, said=watched.health)
    assert watched.stop() == 0
    assert sorted(r.inspection.source for r in recorded(watched)) == [f.name for f in ready]


def test_a_database_that_goes_away_and_returns(
    line: Callable[..., Any], postgresql: Any, tmp_path: Path
) -> None:
    watched = line(
        LEGACY + f'[database]\nimages = "{tmp_path / "images"}"\n', url=postgresql.create()
    )
    watched.start()
    watched.running()
    result = watched.results / "result.txt"
    watched.drop("image.png", encoded(1))
    until(lambda: watched.health()["arrivals"] == 1, said=watched.health)
    assert result.read_text() == "result : Good\n"
    postgresql.stop()
    for seed in (2, 3):
        watched.drop("image.png", encoded(seed, defect=seed == 3))
        until(lambda: not (watched.inbox / "image.png").exists())
    until(lambda: watched.health()["state"] == "blocked", said=watched.health)
    assert not result.exists()
    time.sleep(1)
    assert watched.process.poll() is None
    assert postgresql.start()
    until(lambda: watched.health()["arrivals"] == 3, said=watched.health)
    assert result.read_text() == "result : Bad\nNG\n"
    assert watched.stop() == 0
    assert len(recorded(watched)) == 3


def test_a_database_that_is_away_at_the_start_is_waited_for(
    line: Callable[..., Any], postgresql: Any, tmp_path: Path
) -> None:
    watched = line(f'[database]\nimages = "{tmp_path / "images"}"\n', url=postgresql.create())
    postgresql.stop()
    watched.start()
    until(lambda: watched.health().get("state") == "blocked", said=watched.health)
    watched.drop("a.png", encoded(1))
    assert postgresql.start()
    until(lambda: watched.health()["arrivals"] == 1, said=watched.health)
    assert watched.stop() == 0
    assert len(recorded(watched)) == 1


class Broker:
    """A mosquitto on a port of its own."""

    def __init__(self, folder: Path, program: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.program, self.config = program, folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([self.program, "-c", str(self.config)])
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A running mosquitto; installed where that is possible, skipped with the reason elsewhere."""
    pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
    where = f"{os.environ['PATH']}:/usr/sbin"
    program = shutil.which("mosquitto", path=where)
    if program is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", "mosquitto"],
            capture_output=True,
            check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        program = shutil.which("mosquitto", path=where)
    if program is None:
        pytest.skip("mosquitto is not installed and cannot be: apt-get install mosquitto")
    broker = Broker(tmp_path, program)
    broker.start()
    yield broker
    broker.stop()


class Subscriber:
    """Everything that a broker hands out below a topic."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *rest: client.subscribe("goodpart/#", qos=1)
        self._client.on_message = lambda client, data, message: self.messages.append(
            (message.topic, message.payload.decode(), message.retain)
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def of(self, topic: str) -> list[str]:
        return [text for place, text, _ in self.messages if place == f"goodpart/press 1/{topic}"]

    def told(self) -> dict[str, dict[str, Any]]:
        """Verdicts by the inspection's id."""
        return {told["id"]: told for told in map(json.loads, self.of("verdict"))}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def test_a_broker_gets_every_verdict_also_those_of_its_absence(
    line: Callable[..., Any], broker: Broker
) -> None:
    settings = (
        'station = "press 1"\n'
        f'[outputs.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ntimeout = 1\n'
        "[outputs.mqtt.retry]\nfirst = 0.2\nlongest = 1\n"
    )
    watched = line(settings)
    subscriber = Subscriber(broker.port)
    try:
        watched.start()
        watched.running()
        until(lambda: "running" in subscriber.of("state"), said=lambda: subscriber.messages)
        watched.drop("a.png", encoded(1))
        until(lambda: len(subscriber.of("verdict")) == 1, said=lambda: subscriber.messages)
        # Stopped, not ended: the connections stand, nobody answers.
        broker.process.send_signal(signal.SIGSTOP)
        for name in ("b.png", "c.png"):
            watched.drop(name, encoded(2, defect=True))
        until(lambda: watched.health()["arrivals"] == 3, longest=5, said=watched.health)
        until(lambda: watched.health()["outputs"]["mqtt"]["error"], said=watched.health)
        broker.process.send_signal(signal.SIGCONT)
        # At least once: what was on its way when the broker fell silent may come twice.
        until(lambda: len(subscriber.told()) == 3, said=lambda: subscriber.messages)
        told = subscriber.told()
        records = {record.inspection.id: record.inspection for record in recorded(watched)}
        assert {i: m["verdict"] for i, m in told.items()} == {
            i: inspection.verdict.value for i, inspection in records.items()
        }
        until(lambda: watched.health()["outputs"]["mqtt"]["waiting"] == 0, said=watched.health)
        late = Subscriber(broker.port)
        until(lambda: late.of("state") and late.of("last"), said=lambda: late.messages)
        assert late.of("state")[-1] == "running" and all(kept for _, _, kept in late.messages)
        late.close()
        watched.kill()
        until(lambda: subscriber.of("state")[-1] == "offline", said=lambda: subscriber.messages)
        watched.start()
        until(lambda: subscriber.of("state")[-1] == "running", said=lambda: subscriber.messages)
        assert watched.stop() == 0
        until(lambda: subscriber.of("state")[-1] == "stopped", said=lambda: subscriber.messages)
    finally:
        subscriber.close()


def test_the_spool_survives_a_kill(line: Callable[..., Any], broker: Broker) -> None:
    broker.stop()
    settings = (
        'station = "press 1"\n'
        f'[outputs.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\ntimeout = 0.5\n'
        "[outputs.mqtt.retry]\nfirst = 0.2\nlongest = 0.5\n"
    )
    watched = line(settings)
    watched.start()
    watched.running()
    for number in range(3):
        watched.drop(f"{number}.png", encoded(number))
    until(lambda: watched.health()["arrivals"] == 3, said=watched.health)
    watched.kill()
    broker.start()
    subscriber = Subscriber(broker.port)
    try:
        watched.start()
        until(lambda: len(subscriber.told()) == 3, said=lambda: subscriber.messages)
        assert {told["part"] for told in subscriber.told().values()} == {"0", "1", "2"}
        assert watched.stop() == 0
    finally:
        subscriber.close()
