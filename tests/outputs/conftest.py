"""A receiver of webhooks and a spool in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Receiver:
    """What came in, and how to answer: statuses in turn, the last one for good."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [204])
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    delay: threading.Event | None = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An HTTP server on this machine."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.delay is not None:
                state.delay.wait(10)
            state.requests.append((dict(self.headers), body))
            status = state.statuses.pop(0) if len(state.statuses) > 1 else state.statuses[0]
            self.send_response(status)
            if status in (301, 302, 307):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Row:
    """A message in the spool."""

    id: int
    key: str
    payload: Mapping[str, Any]
    attempts: int = 0
    state: str = "pending"
    error: str = ""


class MemorySpool:
    """A spool that forgets retry times: everything pending is due."""

    def __init__(self, count: int) -> None:
        self.rows = [Row(n, f"key{n}", {"n": n}) for n in range(count)]

    def pending_outputs(self, *, limit: int, output: str | None) -> Sequence[Row]:
        return [row for row in self.rows if row.state == "pending"][:limit]

    def mark_sent(self, ids: Sequence[int]) -> None:
        for row in self.rows:
            if row.id in ids:
                row.state = "sent"

    def mark_failed(self, message: int, error: str, *, retry_in: float) -> None:
        self.rows[message].attempts += 1
        self.rows[message].error = error

    def give_up(self, message: int, error: str) -> None:
        self.rows[message].state = "failed"

    def outputs_waiting(self) -> dict[str, int]:
        return {"scripted": sum(row.state == "pending" for row in self.rows)}
