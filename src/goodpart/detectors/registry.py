"""Detectors by name. A new detector is one file and one line here (and one in the docs table)."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from goodpart.detectors.base import Detector
from goodpart.errors import RecipeError

# name: (module, class). Modules are imported when asked for: some need torch to train.
DETECTORS: dict[str, tuple[str, str]] = {
    "ensemble": ("goodpart.detectors.ensemble", "Ensemble"),
    "gaussian": ("goodpart.detectors.gaussian", "Gaussian"),
    "autoencoder": ("goodpart.detectors.autoencoder", "Autoencoder"),
    "memory": ("goodpart.detectors.memory", "Memory"),
    "student": ("goodpart.detectors.student", "Student"),
    "variation": ("goodpart.detectors.variation", "Variation"),
}


def default_detector(aligned: bool) -> str:
    """What is taken where none is asked for.

    ``gaussian`` where parts are aligned. Where they are not, places mean less: on average over such
    images ``ensemble`` separates better (``benchmarks/ensemble_weight.py``), for a little more time
    (``benchmarks/detectors.py``).
    """
    return "gaussian" if aligned else "ensemble"


def detector_names() -> list[str]:
    """Names that ``--detector`` takes."""
    return sorted(DETECTORS)


def detector_class(name: str) -> type[Detector]:
    """The class behind a name.

    Raises
    ------
    RecipeError
        There is none.
    """
    try:
        module, attribute = DETECTORS[name]
    except KeyError:
        known = ", ".join(detector_names())
        raise RecipeError(f"no detector is called {name!r}; there are: {known}") from None
    found: type[Detector] = getattr(importlib.import_module(module), attribute)
    return found


def create_detector(name: str, settings: dict[str, Any]) -> Detector:
    """A detector with checked settings, not fitted.

    Raises
    ------
    RecipeError
        The name or a setting is unknown, or a value is of the wrong kind.
    """
    cls = detector_class(name)
    known = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    hints = get_type_hints(cls.__init__)
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise RecipeError(
                f"detector.settings.{key}: {name} has no such setting; it has: {', '.join(known)}"
            )
        try:
            checked[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise RecipeError(f"detector.settings.{key}={value!r}: {what}") from None
    try:
        return cls(**checked)
    except ValueError as error:
        raise RecipeError(f"detector {name}: {error}") from None
