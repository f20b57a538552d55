"""Latency of backbones in onnxruntime, by image size, threads and spinning, alone and beside load.

    python benchmarks/backbone_speed.py [--teacher mobilenetv2_100.safetensors] [--busy 2]

One image a call, milliseconds: median and 90th percentile of ``--runs`` calls by the clock, and
the median of the processor's time (all threads together), which other work disturbs less.
``--table`` keeps the figures for the documentation. ``--busy N`` runs N processes that do nothing
but compute beside it: a thread that spins while it waits then takes the core from the thread it
waits for.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime as ort

from goodpart.detectors.backbones import load_backbone


def latency(model: bytes, side: int, threads: int, spin: bool, runs: int) -> list[float]:
    """Median and 90th percentile by the clock, median of the processor; milliseconds."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, side, side)).astype(np.float32)
    times, spent = [], []
    for _ in range(runs + 5):
        start, before = time.perf_counter(), time.process_time()
        session.run(None, {"image": image})
        times.append(1e3 * (time.perf_counter() - start))
        spent.append(1e3 * (time.process_time() - before))
    return [*map(float, np.percentile(times[5:], (50, 90))), float(np.median(spent[5:]))]


def _work() -> None:
    matrix = np.random.default_rng(0).normal(size=(200, 200))
    while True:
        matrix = matrix @ matrix
        matrix /= np.abs(matrix).max()


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep this many processes computing."""
    workers = [multiprocessing.Process(target=_work, daemon=True) for _ in range(processes)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", help="a safetensors file with mobilenetv2_100, to compare")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 384, 512])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--table", action="store_true", help="keep the figures")
    given = parser.parse_args()
    rows: list[list[str]] = []
    print(f"onnxruntime {ort.__version__}, {platform.processor() or platform.machine()}")
    print(
        f"{'backbone':36} {'size':>5} {'threads':>8} {'spinning':>9} "
        f"{'p50 ms':>8} {'p90 ms':>8} {'processor':>10}"
    )
    with load(given.busy):
        for spec in ["goodpart", *([given.teacher] if given.teacher else [])]:
            backbone = load_backbone(spec)
            for side in given.sizes:
                for threads in given.threads:
                    for spin in (False, True) if threads > 1 else (False,):
                        found = latency(backbone.model_bytes, side, threads, spin, given.runs)
                        p50, p90, cpu = (f"{value:.1f}" for value in found)
                        name, spinning = backbone.name[:36], "on" if spin else "off"
                        rows.append([name, str(side), str(threads), spinning, p50, p90, cpu])
                        print(
                            f"{name:36} {side:5} {threads:8} {spinning:>9} "
                            f"{p50:>8} {p90:>8} {cpu:>10}",
                            flush=True,
                        )
    if given.table:
        from results import write_table

        write_table(
            "backbone_speed",
            title="Backbones in onnxruntime, one image a call, milliseconds",
            columns=("backbone", "size", "threads", "spinning", "p50", "p90", "of the processor"),
            rows=rows,
            command="python benchmarks/backbone_speed.py "
            "--teacher mobilenetv2_100.tf_in1k.safetensors --table",
        )


if __name__ == "__main__":
    main()
