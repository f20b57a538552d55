"""Every number of the autoencoder, as named presets that settings override one by one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

PresetName = Literal["restore", "seed"]
Augment = Literal["none", "rotations", "auto"]
Scoring = Literal["peak", "variance", "wrapped"]

# Side in pixels of what one cell of the restoring network's finest grid covers.
BLOCK = 4
# Of this many levels, from the finest, encoder features of a part and its restored version are
# compared.
COMPARED = 2


@dataclass(frozen=True)
class Configuration:
    """What a training of the autoencoder needs to know.

    Parameters
    ----------
    network : "restore" or "seed"
        :class:`~goodpart.detectors.autoencoder_networks.Restorer` or
        :class:`~goodpart.detectors.autoencoder_networks.SeedAutoencoder`.
    size : int
        Longer side of what the network sees, pixels (the seed's images are made square).
    epochs : int
        One epoch shows every training image once; 0: only calibrate.
    batch : int
    rate : float
        Learning rate.
    course : "constant" or "cosine"
        How the learning rate goes on.
    weight_decay : float
    clip : float, optional
        Longest gradient; longer ones are shortened to it.
    noise : float
        Standard deviation of the noise on the input, as a share of the full range.
    augment : "none", "rotations" or "auto"
        Quarter turns (and mirror images in ``restore``); auto: where parts look alike turned.
    corrupt : bool
        Patches of foreign content on the input, to be restored.
    variational : bool
    divergence : float
        Weight of the KL term.
    ssim : float
        Weight of ``1 - SSIM`` beside the mean absolute error.
    widths, skips : tuple of int
        See :class:`~goodpart.detectors.autoencoder_networks.Restorer`.
    networks : int
        Cross-fitted networks, each trained without its fold; 1: one network and a split.
    patience : int, optional
        Epochs without improvement on the validation split after which training stops.
    scoring : "peak", "variance" or "wrapped"
        Of the map: its highest value, or the seed's two, see
        :mod:`goodpart.detectors.autoencoder_scores`.
    """

    network: PresetName
    size: int
    epochs: int
    batch: int
    rate: float
    course: Literal["constant", "cosine"]
    weight_decay: float = 0.0
    clip: float | None = None
    noise: float = 0.0
    augment: Augment = "none"
    corrupt: bool = False
    variational: bool = False
    divergence: float = 1e-3
    ssim: float = 0.0
    widths: tuple[int, ...] = ()
    skips: tuple[int, ...] = ()
    networks: int = 1
    patience: int | None = None
    scoring: Scoring = "peak"


PRESETS: dict[str, Configuration] = {
    "restore": Configuration(
        network="restore",
        size=256,
        epochs=24,
        batch=12,
        rate=2e-3,
        course="cosine",
        weight_decay=1e-4,
        clip=1.0,
        augment="auto",
        corrupt=True,
        ssim=0.3,
        widths=(24, 48, 64, 96),
        networks=2,
    ),
    "seed": Configuration(
        network="seed",
        size=480,
        epochs=30,
        batch=32,
        rate=1e-3,
        course="constant",
        noise=0.05,
        scoring="variance",
    ),
}


def configure(preset: str, changes: dict[str, Any]) -> Configuration:
    """A preset with some of its numbers changed.

    Parameters
    ----------
    preset : str
    changes : dict
        By name; ``None`` leaves a number as it is.

    Raises
    ------
    ValueError
        An unknown preset, or numbers that do not go together.
    """
    try:
        base = PRESETS[preset]
    except KeyError:
        raise ValueError(
            f"no preset is called {preset!r}; there are: {', '.join(PRESETS)}"
        ) from None
    made = replace(base, **{name: value for name, value in changes.items() if value is not None})
    _check(made)
    return made


def setting_names() -> list[str]:
    """Names of the numbers that settings may change; the network itself is the preset's."""
    return [field.name for field in fields(Configuration) if field.name != "network"]


def _check(made: Configuration) -> None:
    multiple = 24 if made.network == "seed" else BLOCK * 2 ** (len(made.widths) - 1)
    if made.size < multiple or made.size % multiple:
        raise ValueError(f"size={made.size}: must be a multiple of {multiple} for this network")
    if made.network == "restore":
        if len(made.widths) < COMPARED or any(width < 8 or width % 8 for width in made.widths):
            raise ValueError(f"widths must be at least {COMPARED} multiples of 8")
        if any(not 0 <= level < len(made.widths) - 1 for level in made.skips):
            raise ValueError(f"skips must lie between 0 and {len(made.widths) - 2}")
        if made.variational:
            raise ValueError("only the preset seed has a variational variant")
        if made.scoring != "peak":
            raise ValueError(f"scoring={made.scoring} belongs to the preset seed")
    positive = {"epochs": made.epochs + 1, "batch": made.batch, "rate": made.rate}
    for name, value in positive.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive")
    if made.networks < 1:
        raise ValueError("networks must be at least 1")
