"""One step of anomalib for ``compare_anomalib.py``, which runs this in anomalib's own environment.

    python anomalib_cell.py fit|inspect|features JOB.json

The job names the detector, the data set, the backbone's weights and the number of threads; what
was measured is written to the file that the job names. Nothing of goodpart is imported here.
"""

from __future__ import annotations

import io
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

# torchvision's compiled operators may belong to another torch. Only their names are needed: both
# are declared before torchvision is imported, and the library has to be kept alive.
_DECLARED = torch.library.Library("torchvision", "DEF")
_DECLARED.define("nms(Tensor a, Tensor b, float c) -> Tensor")
_DECLARED.define("qnms(Tensor a, Tensor b, float c) -> Tensor")

SIDE = 256
WARM_UP = 5
LAYERS = {
    "padim": ["blocks.1", "blocks.2", "blocks.4"],
    "patchcore": ["blocks.2", "blocks.4"],
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def transform() -> Any:
    """What an image goes through: resized, and normalised as the weights were trained."""
    from torchvision.transforms.v2 import Compose, Normalize, Resize

    half = [0.5, 0.5, 0.5]
    return Compose([Resize((SIDE, SIDE), antialias=True), Normalize(mean=half, std=half)])


def backbone(weights: str, layers: list[str]) -> torch.nn.Module:
    """mobilenetv2_100 with the given weights, returning the layers' feature maps."""
    import timm
    from safetensors.torch import load_file

    network = timm.create_model(
        "mobilenetv2_100",
        pretrained=False,
        features_only=True,
        pad_type="same",
        out_indices=[{"blocks.1": 1, "blocks.2": 2, "blocks.4": 3}[layer] for layer in layers],
    )
    given = load_file(weights)
    missing, _ = network.load_state_dict(given, strict=False)
    # Those files leave out nothing but counters of batches.
    lacking = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lacking:
        sys.exit(f"{weights}: has no {lacking[0]}")
    return network.eval()


def create(job: dict[str, Any]) -> Any:
    """The detector with the weights in its extractor."""
    from anomalib.models import Padim, Patchcore
    from anomalib.pre_processing import PreProcessor

    layers = LAYERS[job["detector"]]
    common: dict[str, Any] = {
        "backbone": "mobilenetv2_100",
        "layers": layers,
        "pre_trained": False,
        "pre_processor": PreProcessor(transform=transform()),
        "post_processor": False,
        "evaluator": False,
        "visualizer": False,
    }
    torch.manual_seed(0)
    if job["detector"] == "padim":
        model: Any = Padim(n_features=100, **common)
    else:
        model = Patchcore(coreset_sampling_ratio=0.01, **common)
    extractor = model.model.feature_extractor
    extractor.feature_extractor = backbone(job["weights"], layers)
    return model


def fit(job: dict[str, Any]) -> dict[str, Any]:
    """Learn the good images; the time is that of the engine alone, without imports."""
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from torchvision.transforms.v2 import Resize

    model = create(job)
    begin, spent = time.perf_counter(), time.process_time()
    data = Folder(
        name="set",
        root=job["data"],
        normal_dir="train/good",
        train_batch_size=32,
        num_workers=0,
        # Images of a batch have to be of one size.
        augmentations=Resize((SIDE, SIDE), antialias=True),
        test_split_mode="none",
        val_split_mode="none",
        seed=0,
    )
    engine = Engine(
        accelerator="cpu",
        devices=1,
        default_root_dir=job["folder"],
        # Its threshold is not used: no images are set aside for it.
        limit_val_batches=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    engine.fit(model=model, datamodule=data)
    found = {
        "fit_seconds": time.perf_counter() - begin,
        "fit_cpu_seconds": time.process_time() - spent,
        "images": len(data.train_data),
    }
    torch.save(model.model.state_dict(), Path(job["folder"]) / "model.pt")
    return found


def inspect(job: dict[str, Any]) -> dict[str, Any]:
    """Score every test image from the bytes of its file, one at a time."""
    from PIL import Image
    from torchvision.transforms.v2.functional import to_dtype, to_image

    model = create(job)
    # Another process wrote this file a moment ago.
    state = torch.load(Path(job["folder"]) / "model.pt", weights_only=True)
    network = model.model
    for name, value in state.items():
        # Statistics and memory have the size of what was learned.
        owner = network
        *path, last = name.split(".")
        for step in path:
            owner = getattr(owner, step)
        if last in owner._buffers:
            owner._buffers[last] = value
    network.load_state_dict(state)
    network.eval()
    prepare = transform()

    @torch.inference_mode()
    def score(content: bytes) -> float:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        pixels = to_dtype(to_image(image), torch.float32, scale=True)[None]
        return float(network(prepare(pixels)).pred_score)

    files = sorted(
        path
        for folder in sorted((Path(job["data"]) / "test").iterdir())
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES
    )
    for path in files[:WARM_UP]:
        score(path.read_bytes())
    scores, seconds, spent = [], [], []
    for path in files:
        content = path.read_bytes()
        begin, before = time.perf_counter(), time.process_time()
        scores.append(score(content))
        seconds.append(time.perf_counter() - begin)
        spent.append(time.process_time() - before)
    return {
        "scores": scores,
        "defective": [path.parent.name != "good" for path in files],
        "milliseconds_p50": 1e3 * float(np.median(seconds)),
        "cpu_milliseconds_p50": 1e3 * float(np.median(spent)),
    }


def features(job: dict[str, Any]) -> dict[str, Any]:
    """Feature maps of one given image (1, 3, H, W), RGB 0..255, for comparing."""
    network = backbone(job["weights"], LAYERS["padim"])
    pixels = torch.from_numpy(np.load(job["image"]))
    with torch.inference_mode():
        maps = network(pixels / 127.5 - 1)
    names = ("stride4", "stride8", "stride16")
    np.savez(job["maps"], **{n: m.numpy() for n, m in zip(names, maps, strict=True)})
    return {}


def main() -> None:
    """Do the step and write what it found."""
    step, path = sys.argv[1:]
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    found = {"fit": fit, "inspect": inspect, "features": features}[step](job)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(job["answer"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
