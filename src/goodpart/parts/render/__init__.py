"""Rendered parts and trays: pictures for the demo and exact ground truth for the tests.

They look like camera images of battery caps, and every file and file name says that it is rendered.
"""

from __future__ import annotations

from goodpart.parts.render.part import render_part
from goodpart.parts.render.tray import render_tray
from goodpart.parts.render.truth import (
    DEFECTS,
    KINDS,
    NORMAL,
    Defect,
    Kind,
    PartTruth,
    PocketTruth,
    RenderedPart,
    RenderedTray,
    TrayTruth,
)
from goodpart.parts.render.write import write_parts, write_trays

__all__ = [
    "DEFECTS",
    "KINDS",
    "NORMAL",
    "Defect",
    "Kind",
    "PartTruth",
    "PocketTruth",
    "RenderedPart",
    "RenderedTray",
    "TrayTruth",
    "render_part",
    "render_tray",
    "write_parts",
    "write_trays",
]
