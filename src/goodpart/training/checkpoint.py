"""Checkpoints as safetensors with a JSON header: weights, optimizer state, where the loop stood.

One file, written beside its place and renamed: a crash leaves the old checkpoint or the new one.
No pickle: ``torch.save`` and ``Fabric.save`` are not used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

FORMAT = 1


def fingerprint(values: Mapping[str, Any]) -> str:
    """SHA-256 of settings and data hashes: it decides whether a checkpoint belongs to a training.

    Parameters
    ----------
    values : mapping
        JSON values.
    """
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer],
    position: Mapping[str, Any],
    *,
    belongs_to: str,
) -> None:
    """Write a checkpoint.

    Parameters
    ----------
    path : Path
        Ends in ``.safetensors``.
    modules, optimizers : mapping by name
    position : mapping
        JSON values: where the loop stands.
    belongs_to : str
        See :func:`fingerprint`.
    """
    tensors: dict[str, Tensor] = {}
    groups: dict[str, Any] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"module/{name}/{key}"] = _plain(value)
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        scalars: dict[str, dict[str, Any]] = {}
        for index, values in state["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{name}/{index}/{key}"] = _plain(value)
                else:
                    scalars.setdefault(str(index), {})[key] = value
        groups[name] = {"param_groups": state["param_groups"], "scalars": scalars}
    header = {
        "format": FORMAT,
        "belongs_to": belongs_to,
        "position": dict(position),
        "optimizers": groups,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(tensors, temporary, metadata={"goodpart": json.dumps(header)})
    os.replace(temporary, path)


def read_position(path: Path, *, belongs_to: str) -> dict[str, Any] | None:
    """Where the loop stood, or ``None``: no checkpoint, a damaged one, or another training's."""
    header = _header(path)
    if header is None or header["belongs_to"] != belongs_to:
        return None
    position: dict[str, Any] = header["position"]
    return position


def load_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, Optimizer] | None = None,
) -> None:
    """Put weights (and optimizer state) back; call :func:`read_position` first.

    Raises
    ------
    RuntimeError
        The file does not fit the modules.
    """
    header = _header(path)
    if header is None:
        raise RuntimeError(f"{path}: not a checkpoint")
    with safe_open(path, framework="pt", device="cpu") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    for name, module in modules.items():
        prefix = f"module/{name}/"
        module.load_state_dict(_under(tensors, prefix))
    for name, optimizer in (optimizers or {}).items():
        saved = header["optimizers"][name]
        state: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in saved["scalars"].items()
        }
        for key, value in _under(tensors, f"optimizer/{name}/").items():
            index, what = key.split("/", 1)
            state.setdefault(int(index), {})[what] = value
        optimizer.load_state_dict({"state": state, "param_groups": saved["param_groups"]})


def _header(path: Path) -> dict[str, Any] | None:
    """The JSON header; ``None`` where the file cannot be one of ours: training starts anew."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})["goodpart"])
    except (SafetensorError, KeyError, ValueError, OSError):
        return None
    return header if header.get("format") == FORMAT else None


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _plain(tensor: Tensor) -> Tensor:
    """On the CPU, in row order and with its own memory, as safetensors wants it."""
    return torch.clone(tensor.detach().cpu(), memory_format=torch.contiguous_format)
