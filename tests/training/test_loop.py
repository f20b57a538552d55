from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lightning_fabric import Fabric  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from goodpart.errors import TrainingError  # noqa: E402
from goodpart.training.checkpoint import read_position  # noqa: E402
from goodpart.training.loop import Outcome, Schedule, rate_factor, train  # noqa: E402
from goodpart.training.task import Task  # noqa: E402


class Line(Task):
    """Learns y = 3x - 1; validation figures can be given by hand."""

    def __init__(self, figures: list[float] | None = None, rate: float = 0.05) -> None:
        torch.manual_seed(0)
        self.modules = {"line": nn.Linear(1, 1)}
        self.optimizers = {"line": torch.optim.Adam(self.modules["line"].parameters(), lr=rate)}
        self.figures = list(figures or [])

    @property
    def steps_per_epoch(self) -> int:
        return 4

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        for _ in range(4):
            yield torch.from_numpy(rng.standard_normal((8, 1)).astype(np.float32))

    def step(self, batch: Any, fabric: Fabric) -> dict[str, Tensor]:
        loss = (self.modules["line"](batch + 0.1 * torch.randn(8, 1)) - (3 * batch - 1)).square()
        self.optimizers["line"].zero_grad()
        fabric.backward(loss.mean())
        self.optimizers["line"].step()
        return {"loss": loss.mean()}

    def validate(self) -> dict[str, float]:
        return {"loss": self.figures.pop(0)} if self.figures else {}


def weights(task: Task) -> list[float]:
    return [x for m in task.modules.values() for p in m.parameters() for x in p.ravel().tolist()]


def run(task: Task, folder: Path, *, epochs: int = 6, key: str = "a", **more: Any) -> Outcome:
    given = {"precision": "32-true", **more.pop("schedule", {})}
    return train(
        task,
        Schedule(epochs=epochs, **given),
        folder=folder,
        belongs_to=key,
        accelerator="cpu",
        **more,
    )


def stop_at(step: int) -> Any:
    def listen(stage: str, done: int, total: int) -> None:
        if done == step:
            raise KeyboardInterrupt

    return listen


def test_training_learns(tmp_path: Path) -> None:
    task = Line()
    outcome = run(task, tmp_path, epochs=40)
    assert weights(task) == pytest.approx([3, -1], abs=0.3)
    assert outcome.stopped == "epochs" and len(outcome.history) == 40
    assert outcome.history[-1]["train/loss"] < outcome.history[0]["train/loss"] / 10


def test_the_same_seed_gives_the_same_weights_and_another_one_others(tmp_path: Path) -> None:
    tasks = [Line() for _ in range(3)]
    for index, (task, seed) in enumerate(zip(tasks, (1, 1, 2), strict=True)):
        run(task, tmp_path / str(index), seed=seed)
    assert weights(tasks[0]) == weights(tasks[1]) != weights(tasks[2])


@pytest.mark.parametrize("step", [3, 10, 13])
def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path: Path, step: int) -> None:
    whole = Line()
    run(whole, tmp_path / "whole", schedule={"rate": "cosine", "warmup": 3})
    with pytest.raises(KeyboardInterrupt):
        run(
            Line(),
            tmp_path / "cut",
            schedule={"rate": "cosine", "warmup": 3},
            progress=stop_at(step),
        )
    resumed = Line()
    outcome = run(resumed, tmp_path / "cut", schedule={"rate": "cosine", "warmup": 3})
    assert outcome.resumed_from == (step - 1) // 4
    assert weights(resumed) == weights(whole)
    assert [row["epoch"] for row in outcome.history] == [1, 2, 3, 4, 5, 6]


def test_a_finished_training_is_taken_as_it_is(tmp_path: Path) -> None:
    first, second = Line(), Line()
    run(first, tmp_path)
    steps: list[int] = []
    outcome = run(second, tmp_path, progress=lambda stage, done, total: steps.append(done))
    assert steps == [] and outcome.resumed_from == 6
    assert weights(first) == weights(second)


def test_the_checkpoint_of_another_training_is_not_taken(tmp_path: Path) -> None:
    run(Line(), tmp_path, key="a")
    outcome = run(Line(), tmp_path, key="b", epochs=2)
    assert outcome.resumed_from == 0 and len(outcome.history) == 2
    assert read_position(tmp_path / "last.safetensors", belongs_to="a") is None


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04" + bytes(100)])
def test_a_damaged_checkpoint_starts_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.safetensors").write_bytes(content)
    assert run(Line(), tmp_path, epochs=1).resumed_from == 0


def test_training_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    task = Line(figures=[5, 3, 1, 2, 2, 2])
    outcome = run(task, tmp_path, schedule={"patience": 2})
    assert (outcome.stopped, outcome.best_epoch, len(outcome.history)) == ("patience", 3, 5)
    same = Line(figures=[5, 3, 1])
    run(same, tmp_path / "three", epochs=3)
    assert weights(task) == weights(same)


def test_the_last_weights_are_kept_where_asked(tmp_path: Path) -> None:
    best, last = (Line(figures=[1, 2, 3]) for _ in range(2))
    run(best, tmp_path / "best", epochs=3)
    run(last, tmp_path / "last", epochs=3, schedule={"keep": "last"})
    assert weights(best) != weights(last)
    assert not (tmp_path / "last" / "best.safetensors").exists()


def test_a_time_budget_ends_the_training(tmp_path: Path) -> None:
    outcome = run(Line(), tmp_path, schedule={"max_minutes": 0.0})
    assert outcome.stopped == "time" and len(outcome.history) == 1


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    task = Line()
    with torch.no_grad():
        task.modules["line"].weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="finite"):
        run(task, tmp_path)


def test_progress_tells_the_loss_and_all_steps(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    run(Line(), tmp_path, epochs=2, progress=lambda *what: told.append(what))
    assert [done for _, done, _ in told] == list(range(1, 9))
    assert {total for _, _, total in told} == {8}
    assert told[0][0].startswith("epoch 1/2 loss ")


def test_the_random_numbers_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    task = Line()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run(task, tmp_path)
    assert torch.equal(torch.rand(1), expected)


class Pair(Task):
    """Two modules and two optimizers, as a generator and its critic."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.modules = {"generator": nn.Linear(2, 1), "critic": nn.Linear(1, 1)}
        self.optimizers = {
            name: torch.optim.Adam(module.parameters(), lr=0.02)
            for name, module in self.modules.items()
        }

    @property
    def steps_per_epoch(self) -> int:
        return 3

    def batches(self, epoch: int, rng: np.random.Generator) -> Iterator[Tensor]:
        for _ in range(3):
            yield torch.from_numpy(rng.normal(2, 0.1, (8, 1)).astype(np.float32))

    def step(self, batch: Any, fabric: Fabric) -> dict[str, Tensor]:
        generator, critic = self.modules["generator"], self.modules["critic"]
        drawn = generator(torch.randn(8, 2))
        apart = (critic(drawn.detach()) - critic(batch)).mean()
        self.optimizers["critic"].zero_grad()
        fabric.backward(apart)
        self.optimizers["critic"].step()
        loss = -critic(drawn).mean()
        self.optimizers["generator"].zero_grad()
        fabric.backward(loss)
        self.optimizers["generator"].step()
        return {"loss": loss, "critic": apart}


def test_several_modules_and_optimizers_resume_together(tmp_path: Path) -> None:
    whole, resumed = Pair(), Pair()
    run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Pair(), tmp_path / "cut", progress=stop_at(8))
    outcome = run(resumed, tmp_path / "cut")
    assert weights(whole) == weights(resumed)
    assert {"train/loss", "train/critic"} <= set(outcome.history[0])


def test_the_learning_rate_warms_up_and_falls() -> None:
    factors = [rate_factor(step, 100, "cosine", 10) for step in range(1, 101)]
    assert factors[0] == pytest.approx(0.1, abs=0.01)
    assert max(factors) == factors[9]
    assert factors[-1] < 0.02
    assert rate_factor(50, 100, "constant", 0) == 1.0
