"""The settings of ``synthesize``: which generator, its settings, and the gate's."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from goodpart.errors import RecipeError
from goodpart.generators.registry import DEFAULT


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GateSettings(_Section):
    """Which drawn images are kept.

    Parameters
    ----------
    detector : str
        Scores drawn images after it has learned from the real ones.
    detector_settings : dict
    tolerance : float
        A drawn image may score this multiple of the highest held-out score of a real one.
    farthest : float
        It may be this multiple of the largest distance between a real image and its nearest
        other away from the real images.
    copy_share : float
        Nearer than this share of the smallest such distance, it is a copy.
    draws : float
        Give up after drawing this many times as many images as are wanted.
    """

    detector: str = "gaussian"
    detector_settings: dict[str, Any] = {}
    tolerance: float = Field(1.5, gt=0)
    farthest: float = Field(1.3, gt=0)
    copy_share: float = Field(0.5, ge=0, lt=1)
    draws: float = Field(20.0, ge=1)


class SynthesisSettings(_Section):
    """A configuration file of ``synthesize``.

    Parameters
    ----------
    generator : str
    settings : dict
        Of the generator.
    gate : GateSettings
    align : bool
        Learn from the parts alone, brought together, where they can be located in the images.
    seed : int
        Of training and drawing.
    accelerator : str
        What to train on, as Lightning Fabric calls it: ``"auto"``, ``"cpu"``, ``"cuda"``.
    devices : int or "auto"
        How many of them; each takes a batch in every step.
    """

    generator: str = DEFAULT
    settings: dict[str, Any] = {}
    gate: GateSettings = GateSettings()
    align: bool = True
    seed: int = Field(0, ge=0, le=2**32 - 1)
    accelerator: str = "auto"
    devices: Annotated[int, Field(ge=1)] | Literal["auto"] = 1


def load_settings(path: Path | None, overrides: Sequence[str] = ()) -> SynthesisSettings:
    """Read a TOML file and apply ``key=value`` settings over it.

    A key without a known section is a setting of the generator: ``epochs=5`` is
    ``settings.epochs=5``.

    Raises
    ------
    RecipeError
        The file cannot be read, or something in it is not valid: one line with the place.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            with open(path, "rb") as file:
                values = tomllib.load(file)
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: not a TOML file: {error}") from None
        _validated(values, str(path))
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RecipeError(f"--set {text}: write it as key=value, such as epochs=5")
        steps = key.strip().split(".")
        if steps[0] not in SynthesisSettings.model_fields:
            steps = ["settings", *steps]
        place = values
        for step in steps[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--set {text}: {step} is a value, not a section")
        place[steps[-1]] = _literal(value.strip())
    return _validated(values, "--set" if overrides else str(path or "settings"))


def _literal(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _validated(values: Mapping[str, Any], where: str) -> SynthesisSettings:
    try:
        return SynthesisSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "top level"
        raise RecipeError(f"{where}: {place}: {first['msg']}") from None
