"""What training in bfloat16 gains on this processor: convolutions as the autoencoder has them.

Run with::

    python benchmarks/training_precision.py [THREADS=1]
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from results import write_table
from torch import nn

# (channels, side): levels of the preset restore, and the seed's first convolution.
SHAPES = ((24, 64), (48, 32), (64, 16), (4, 480))
BATCH = 8
REPEATS = 9


def milliseconds(channels: int, side: int, *, bfloat16: bool) -> float:
    """Processor time of one forward and backward pass, median."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ELU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    ).to(memory_format=torch.channels_last)
    given = torch.randn(BATCH, channels, side, side).to(memory_format=torch.channels_last)
    spent = []
    for _ in range(REPEATS):
        begin = time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            output = network(given)
        output.float().square().mean().backward()
        spent.append((time.process_time() - begin) * 1e3)
    return statistics.median(spent[1:])


def main() -> None:
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    torch.set_num_threads(int(given.get("THREADS", 1)))
    rows = []
    for channels, side in SHAPES:
        plain = milliseconds(channels, side, bfloat16=False)
        short = milliseconds(channels, side, bfloat16=True)
        shape = f"{channels} channels, {side}×{side}"
        rows.append([shape, f"{plain:.1f} ms", f"{short:.1f} ms", f"{plain / short:.1f}"])
        print("  ".join(rows[-1]), flush=True)
    write_table(
        "training_precision",
        title="Processor time of two 3×3 convolutions, forward and backward, batch 8, one thread",
        columns=["shape", "32 bit", "bfloat16", "times as fast"],
        rows=rows,
    )


if __name__ == "__main__":
    main()
