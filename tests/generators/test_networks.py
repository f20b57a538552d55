from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from goodpart.errors import RecipeError  # noqa: E402
from goodpart.generators import create_generator, generator_names  # noqa: E402
from goodpart.generators.base import Shape  # noqa: E402


def test_dcgan_has_the_original_shape_at_480() -> None:
    generator = create_generator("dcgan", {})
    shape = generator.fitting_shape(480, 480, 1)
    assert shape == Shape(1, 480, 480)
    with torch.device("meta"):
        drawing, judging = generator.drawing_network(shape), generator.judging_network(shape)
    weights = [tuple(p.shape) for p in drawing.parameters() if p.ndim > 1]
    assert weights == [
        (30 * 30 * 256, 100),
        (256, 128, 5, 5),
        (128, 64, 5, 5),
        (64, 32, 5, 5),
        (32, 1, 5, 5),
    ]
    widths = [p.shape[0] for p in judging.parameters() if p.ndim == 4]
    assert widths == [64, 128, 256, 512]
    dropped = [m.p for m in judging.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropped == [0.3] * 4
    plan = generator.training
    assert (plan.rate, plan.batch, generator.noise) == (1e-4, 32, 100)
    assert generator.loss == "cross-entropy"


@pytest.mark.parametrize("name", ["dcgan", "light_gan"])
@pytest.mark.parametrize("shape", [Shape(1, 32, 32), Shape(3, 64, 48)])
def test_networks_make_and_judge_the_shape(name: str, shape: Shape) -> None:
    generator = create_generator(name, {})
    images = generator.drawing_network(shape)(torch.randn(2, generator.noise))
    assert images.shape == (2, shape.channels, shape.height, shape.width)
    assert images.abs().max() <= 1
    judging = generator.judging_network(shape)
    logits, restored = judging(images, restore=True)
    assert len(logits) == 2 and torch.isfinite(logits).all()
    if name == "light_gan":
        assert restored.shape == (2, shape.channels, shape.height // 4, shape.width // 4)


@pytest.mark.parametrize("size", [32, 48, 96, 112, 128, 160, 224, 256, 480, 512])
def test_light_gan_keeps_the_longer_side_that_is_asked_for(size: int) -> None:
    for height, width in ((100, 100), (100, 61), (30, 200)):
        shape = create_generator("light_gan", {"size": size} if size != 480 else {"size": 448})
        made = shape.fitting_shape(height, width, 1)
        assert max(made.height, made.width) == (448 if size == 480 else size)
        assert min(made.height, made.width) >= 32
        with torch.device("meta"):
            network = shape.drawing_network(made).eval()
            drawn = network(torch.zeros(1, shape.noise))
        assert drawn.shape[2:] == (made.height, made.width)


def test_images_smaller_than_the_preset_keep_their_size() -> None:
    shape = create_generator("light_gan", {}).fitting_shape(64, 64, 1)
    assert shape == Shape(1, 64, 64)


@pytest.mark.parametrize(
    ("name", "size", "near"),
    [("dcgan", 200, "192"), ("dcgan", 16, "32"), ("light_gan", 120, "128"), ("light_gan", 8, "32")],
)
def test_a_size_that_the_layers_cannot_make_is_refused(name: str, size: int, near: str) -> None:
    generator = create_generator(name, {"size": size})
    with pytest.raises(RecipeError, match=rf"size={size}.*such as {near}"):
        generator.fitting_shape(200, 200, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch": 1}, "batch"),
        ({"rate": 2.0}, "rate"),
        ({"rates": 1}, "no such setting"),
        ({"epochs": "many"}, "epochs"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    for name in generator_names():
        with pytest.raises(RecipeError, match=message):
            create_generator(name, settings)


def test_an_unknown_generator_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"dcgan, light_gan"):
        create_generator("gan", {})


def test_logits_of_light_gan_reach_the_margin_of_its_loss_from_the_start() -> None:
    torch.manual_seed(0)
    judging = create_generator("light_gan", {}).judging_network(Shape(1, 64, 64))
    rows, columns = torch.meshgrid(*2 * [torch.linspace(-1, 1, 64)], indexing="ij")
    disc = (rows**2 + columns**2 < 0.6).float() - 0.5
    images = disc + 0.05 * torch.randn(8, 1, 64, 64)
    with torch.no_grad():
        logits = [judging(images) for _ in range(5)][-1]
    assert 0.2 < logits.std() < 5  # the hinge's margin is 1
