"""goodpart learns what a good part looks like from a hundred images and finds the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from goodpart.decision import Inspection, Limits, Region, Verdict
    from goodpart.errors import GoodpartError
    from goodpart.fitting import fit
    from goodpart.model import Model, load

# Names are imported when first used, so that `import goodpart` costs next to nothing.
_WHERE = {
    "GoodpartError": "goodpart.errors",
    "Inspection": "goodpart.decision",
    "Limits": "goodpart.decision",
    "Model": "goodpart.model",
    "Region": "goodpart.decision",
    "Verdict": "goodpart.decision",
    "fit": "goodpart.fitting",
    "load": "goodpart.model",
}

__all__ = [
    "GoodpartError",
    "Inspection",
    "Limits",
    "Model",
    "Region",
    "Verdict",
    "__version__",
    "fit",
    "load",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _WHERE:
        raise AttributeError(f"module 'goodpart' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
