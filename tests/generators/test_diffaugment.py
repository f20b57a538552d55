from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from goodpart.generators.diffaugment import augment  # noqa: E402


@pytest.mark.parametrize("kind", ["color", "shift", "cutout"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_change_each_in_its_way_and_gradients_pass(kind: str, channels: int) -> None:
    torch.manual_seed(1)
    one = torch.linspace(-0.9, 0.9, 16 * 24).reshape(1, 1, 16, 24).repeat(4, channels, 1, 1)
    one.requires_grad_(True)
    changed = augment(one, [kind])
    assert changed.shape == one.shape
    assert not torch.allclose(changed[0], changed[1])
    (gradient,) = torch.autograd.grad(changed.square().sum(), one)
    assert gradient.abs().sum() > 0 and torch.isfinite(gradient).all()


def test_a_shift_moves_whole_pixels_and_fills_with_middle_grey() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 1, 16, 16) * 0.5 + 0.5
    moved = augment(images, ["shift"])
    for before, after in zip(images, moved, strict=True):
        assert set(after.ravel().tolist()) <= {0.0, *before.ravel().tolist()}


def test_nothing_asked_for_changes_nothing() -> None:
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(augment(images, []), images)
