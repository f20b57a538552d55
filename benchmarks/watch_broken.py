"""Broken inputs: none may crash the watcher, be judged OK, get lost, or cost unbounded memory.

What cannot be told from a sound image by any means (JPEG and BMP have no checksums, a 16-bit
image is one like any other) is made from defective parts, so that an OK is wrong there too.

    python benchmarks/watch_broken.py --inputs 2000
"""

from __future__ import annotations

import argparse
import io
import os
import random
import socket
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from results import write_table
from watch_common import Line, encoded, make_model, others_load, part_pixels, report

SETTINGS = "[watch]\nbroken_after = 0.5\n"
MOST_MEMORY = 512
"""MiB above what the watcher takes at rest."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int, *more: bytes) -> bytes:
    """A PNG whose header claims a size that its data does not have."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = b"".join(more) + chunk(b"IDAT", zlib.compress(b"\0" * 100_000, 9))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b"")


def saved(kind: str, seed: int, mode: str = "L", **options: Any) -> bytes:
    """A defective part as a file of some kind."""
    buffer = io.BytesIO()
    pixels = Image.fromarray(part_pixels(seed, defect=True))
    pixels.convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str, seed: int) -> bytes:
    """Several frames, all of good parts."""
    frames = [Image.fromarray(part_pixels(seed + n)) for n in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def flipped(rng: random.Random, seed: int) -> tuple[str, bytes]:
    suffix = rng.choice((".png", ".jpg", ".bmp", ".webp", ".tiff"))
    # A PNG's checksums tell; the others may still be images, so they are of defective parts.
    data = bytearray(encoded(seed, defect=suffix != ".png", suffix=suffix))
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return f"flip{seed}{suffix}", bytes(data)


def truncated(rng: random.Random, seed: int) -> tuple[str, bytes]:
    suffix = rng.choice((".png", ".jpg", ".bmp", ".webp", ".tiff"))
    data = encoded(seed, suffix=suffix)
    return f"cut{seed}{suffix}", data[: rng.randrange(1, len(data) - len(data) // 50)]


def bomb(rng: random.Random, seed: int) -> tuple[str, bytes]:
    data = rng.choice(
        (
            png_claiming(60_000, 60_000),
            png_claiming(2**31 - 1, 2**31 - 1),
            png_claiming(1, 10**8),
            png_claiming(10_000, 10_000),
            png_claiming(64, 64, chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 50_000_000, 9))),
            b"BM" + struct.pack("<IHHIIiiHH", 60, 0, 0, 54, 40, 2**30, 2**30, 1, 24) + b"\0" * 28,
        )
    )
    return f"bomb{seed}.png", data


def other_type(rng: random.Random, seed: int) -> tuple[str, bytes]:
    data = rng.choice(
        (
            b"a shopping list, not an image at all",
            b"%PDF-1.7\n" + rng.randbytes(500),
            b"PK\x03\x04" + rng.randbytes(500),
            b"\x7fELF" + rng.randbytes(500),
            b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 5,
            b"GIF89a" + rng.randbytes(200),
            rng.randbytes(2000),
            saved("GIF", seed),
            saved("PPM", seed),
            b"\xff\xd8\xff" + rng.randbytes(800) + b"\xff\xd9",
            b"II*\0" + rng.randbytes(800),
            b"RIFF" + struct.pack("<I", 800) + b"WEBP" + rng.randbytes(796),
        )
    )
    return f"type{seed}" + rng.choice((".png", ".jpg", ".txt", "")), data


def strange_name(rng: random.Random, seed: int) -> tuple[bytes, bytes]:
    name = rng.choice(
        (b"new\nline", b"bad\xff\xfe", b"tab\t", b"esc\x1b[31m", b"\x80", b"bell\x07", b"del\x7f")
    )
    return name + str(seed).encode() + b".png", encoded(seed)


def unusual(rng: random.Random, seed: int) -> tuple[str, bytes]:
    deep = part_pixels(seed, defect=True).astype(np.uint16) * 257
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    data = rng.choice(
        (
            buffer.getvalue(),
            saved("JPEG", seed, "CMYK"),
            saved("TIFF", seed, "CMYK"),
            saved("TIFF", seed, "F"),
            saved("PNG", seed, "1"),
            saved("PNG", seed, "P"),
            saved("PNG", seed, "RGBA"),
            saved("PNG", seed, "LA"),
            encoded(seed, color=True),
            animated("PNG", seed),
            animated("TIFF", seed),
            animated("WEBP", seed),
            animated("GIF", seed),
        )
    )
    return f"unusual{seed}.png", data


def empty(rng: random.Random, seed: int) -> tuple[str, bytes]:
    return f"empty{seed}.jpg", b"\0" * rng.choice((0, 0, 1, 15, 16, 5000))


KINDS: list[Callable[[random.Random, int], tuple[str | bytes, bytes]]] = [
    flipped,
    truncated,
    bomb,
    other_type,
    strange_name,
    unusual,
    empty,
]


def drop(line: Line, rng: random.Random, number: int) -> str:
    """Put one broken thing into the inbox; returns its kind."""
    inbox = os.fsencode(line.inbox)
    if number % 50 == 0:
        path = os.path.join(inbox, f"thing{number}.png".encode())
        thing = rng.choice(("link", "pipe", "folder", "socket"))
        if thing == "link":
            os.symlink("/etc/passwd", path)
        elif thing == "pipe":
            os.mkfifo(path)
        elif thing == "folder":
            os.mkdir(path)
        else:
            here = os.getcwd()
            os.chdir(line.inbox)  # the path of a socket must be short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(f"thing{number}.png")
            os.chdir(here)
        return thing
    make = rng.choice(KINDS)
    name, data = make(rng, number)
    temporary = os.path.join(os.fsencode(line.root), b"dropped")
    with open(temporary, "wb") as file:
        file.write(data)
    os.rename(temporary, os.path.join(inbox, os.fsencode(name)))
    return make.__name__


def measure(root: Path, inputs: int, seed: int) -> dict[str, Any]:
    """Run it; the figures, of which ``wrong`` must be empty."""
    rng = random.Random(seed)
    line = Line(root, make_model(root / "model"), SETTINGS)
    line.start()
    line.running()
    at_rest = line.memory()
    start = time.monotonic()
    kinds = Counter(drop(line, rng, number) for number in range(1, inputs + 1))
    highest = at_rest
    while line.count() < inputs and time.monotonic() < start + 60 + inputs / 4:
        assert line.process is not None and line.process.poll() is None, line.log.read_text()
        highest = max(highest, line.memory())
        time.sleep(0.1)
    seconds = time.monotonic() - start
    # It still judges what is sound.
    line.drop("sound.png", encoded(1))
    while line.count() < inputs + 1 and time.monotonic() < start + seconds + 30:
        time.sleep(0.1)
    time.sleep(1)
    status = line.stop()
    records = line.records()
    inspections = [record.inspection for record in records]
    ok = [i.source for i in inspections if i.verdict == "OK" and i.source != "sound.png"]
    good = [
        str(p.parent.name)
        for p in line.results.glob("*/result.txt")
        if p.read_text().startswith("result : Good") and p.parent.name != "sound"
    ]
    wrong = {
        "records": "" if len(records) == inputs + 1 else f"{len(records)} for {inputs + 1}",
        "judged OK": ok[:5],
        "result.txt Good": good[:5],
        "sound image": ""
        if any(i.source == "sound.png" and i.verdict == "OK" for i in inspections)
        else "not judged OK",
        "exit status": status,
        "memory": "" if highest - at_rest < MOST_MEMORY else f"{highest - at_rest:.0f} MiB",
    }
    return {
        "inputs": inputs,
        "kinds": dict(kinds),
        "verdicts": dict(Counter(str(i.verdict) for i in inspections)),
        "reasons": dict(Counter(i.reason for i in inspections if i.reason)),
        "seconds": round(seconds, 1),
        "memory_mib": {"at_rest": round(at_rest), "highest": round(highest)},
        "wrong": {what: found for what, found in wrong.items() if found},
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="write the documentation's table")
    arguments = parser.parse_args()
    load = others_load()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), arguments.inputs, arguments.seed)
    report(figures)
    if arguments.table:
        memory = figures["memory_mib"]
        verdicts = ", ".join(
            f"{count:,} {verdict}" for verdict, count in figures["verdicts"].items()
        )
        write_table(
            "watch_broken",
            title="Broken inputs (and one sound image at the end, which is the OK)",
            columns=["", "figure"],
            rows=[
                ["inputs", f"{figures['inputs']:,}"],
                ["verdicts", verdicts],
                ["crashes, lost, OK on a broken input", ", ".join(figures["wrong"]) or "none"],
                ["memory at rest, highest", f"{memory['at_rest']} MiB, {memory['highest']} MiB"],
                ["load average of other work before", load],
            ],
        )
    sys.exit(1 if figures["wrong"] else 0)


if __name__ == "__main__":
    main()
