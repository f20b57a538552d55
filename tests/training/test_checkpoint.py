from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from goodpart.training.checkpoint import (  # noqa: E402
    fingerprint,
    load_checkpoint,
    read_position,
    save_checkpoint,
)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_weights_and_optimizer_state_come_back(tmp_path: Path, kind: type) -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(
        memory_format=torch.channels_last
    )
    more = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizer = kind(module.parameters(), lr=0.1, **more)
    module(torch.randn(2, 1, 8, 8)).square().mean().backward()
    optimizer.step()
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"net": module}, {"net": optimizer}, {"epoch": 3}, belongs_to="x")
    other = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    restored = kind(other.parameters(), lr=0.5, **more)
    assert read_position(path, belongs_to="x") == {"epoch": 3}
    load_checkpoint(path, {"net": other}, {"net": restored})
    for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert restored.param_groups[0]["lr"] == 0.1
    for before, after in zip(optimizer.state.values(), restored.state.values(), strict=True):
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_a_checkpoint_is_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"net": nn.Linear(1, 1)}, {}, {}, belongs_to="x")
    data = path.read_bytes()
    assert data[8:9] == b"{" and b"goodpart" in data[:400]
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_checkpoint_of_other_settings_does_not_belong(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"net": nn.Linear(1, 1)}, {}, {}, belongs_to=fingerprint({"lr": 1}))
    assert read_position(path, belongs_to=fingerprint({"lr": 2})) is None
    assert read_position(path, belongs_to=fingerprint({"lr": 1})) == {}
