"""Generators by name. A new generator is one file and one line here (and one in the docs table)."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from goodpart.errors import RecipeError
from goodpart.generators.base import Generator

# name: (module, class). Modules are imported when asked for: they need torch.
GENERATORS: dict[str, tuple[str, str]] = {
    "light_gan": ("goodpart.generators.light_gan", "LightGan"),
    "dcgan": ("goodpart.generators.dcgan", "Dcgan"),
}

DEFAULT = "light_gan"


def generator_names() -> list[str]:
    """Names that ``--generator`` takes."""
    return sorted(GENERATORS)


def create_generator(name: str, settings: dict[str, Any]) -> Generator:
    """A generator with checked settings, not trained.

    Raises
    ------
    RecipeError
        The name or a setting is unknown, or a value is of the wrong kind or out of range.
    """
    if name not in GENERATORS:
        known = ", ".join(generator_names())
        raise RecipeError(f"no generator is called {name!r}; there are: {known}")
    module, attribute = GENERATORS[name]
    cls: type[Generator] = getattr(importlib.import_module(module), attribute)
    known_settings = [p for p in inspect.signature(cls.__init__).parameters if p != "self"]
    hints = get_type_hints(cls.__init__)
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known_settings:
            raise RecipeError(
                f"settings.{key}: {name} has no such setting; it has: {', '.join(known_settings)}"
            )
        try:
            checked[key] = TypeAdapter(hints[key]).validate_python(value)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise RecipeError(f"settings.{key}={value!r}: {what}") from None
    try:
        return cls(**checked)
    except ValueError as error:
        raise RecipeError(f"generator {name}: {error}") from None
