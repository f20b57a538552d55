"""The line's figures for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from goodpart.errors import GoodpartError, MissingExtraError

Answer = Callable[[], dict[str, Any]]


class Metrics:
    """An HTTP endpoint ``/metrics``.

    Parameters
    ----------
    host : str
    port : int
        0: any free one; see :attr:`port`.
    answer : callable
        The health answer (:meth:`goodpart.runtime.health.Health.answer`).

    Attributes
    ----------
    port : int

    Raises
    ------
    MissingExtraError
        prometheus-client is not installed.
    GoodpartError
        The port is taken.
    """

    def __init__(self, host: str, port: int, answer: Answer) -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ImportError:
            raise MissingExtraError("prometheus-client", "prometheus") from None
        registry = CollectorRegistry()
        registry.register(_Figures(answer))
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise GoodpartError(
                f"metrics: cannot listen on {host}:{port}: {error.strerror or error}"
            ) from None
        self.port: int = self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Figures:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def describe(self) -> list[Any]:
        """Nothing is asked for when it is registered."""
        return []

    def collect(self) -> Iterator[Any]:
        """All figures."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            SummaryMetricFamily,
        )

        answer = self._answer()
        yield GaugeMetricFamily(
            "goodpart_blocked", "1 while nothing can be judged", int(answer["state"] == "blocked")
        )
        yield CounterMetricFamily("goodpart_arrivals", "images finished", answer["arrivals"])
        parts = CounterMetricFamily("goodpart_parts", "parts by verdict", labels=["verdict"])
        for verdict, count in answer["verdicts"].items():
            parts.add_metric([verdict], count)
        yield parts
        queue = GaugeMetricFamily("goodpart_queue", "images that wait", labels=["place"])
        queue.add_metric(["inbox"], answer["queue"]["inbox"])
        queue.add_metric(["claimed"], answer["queue"]["claimed"])
        yield queue
        spool = GaugeMetricFamily("goodpart_spool", "messages that wait", labels=["output"])
        for output, entry in answer["outputs"].items():
            spool.add_metric([output], entry["waiting"])
        yield spool
        latency = GaugeMetricFamily(
            "goodpart_latency_milliseconds", "of the latest images", labels=["step", "quantile"]
        )
        for step, quantiles in answer["latency_ms"].items():
            for quantile, value in quantiles.items():
                latency.add_metric([step, quantile], value)
        yield latency
        total = answer["file_to_result"]
        yield SummaryMetricFamily(
            "goodpart_file_to_result_seconds",
            "from a complete file to result.txt",
            count_value=total["count"],
            sum_value=total["seconds"],
        )
