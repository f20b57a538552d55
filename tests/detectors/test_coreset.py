"""The bank: its exact search, and the greedy choice of what goes into it."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goodpart.detectors.coreset import Bank, greedy_coreset, product


def program(name: str) -> bytes:
    """What the shipped networks say: x · y, or the least value in each of its rows."""
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("MatMul", ["x", "y"], ["product"])]
    output = value("product", floats, ["m", "n"])
    if name == "nearest":
        nodes.append(helper.make_node("ReduceMin", ["product"], ["least"], axes=[1], keepdims=0))
        output = value("least", floats, ["m"])
    inputs = [value("x", floats, ["m", "c"]), value("y", floats, ["c", "n"])]
    graph = helper.make_graph(nodes, name, inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "goodpart"
    return bytes(model.SerializeToString(deterministic=True))


@pytest.mark.parametrize("name", ["nearest", "product"])
def test_the_shipped_network_is_the_one_written_here(name: str) -> None:
    assert (files("goodpart.detectors") / f"{name}.onnx").read_bytes() == program(name)


def test_a_product_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(40, 30)), rng.normal(size=(30, 20))
    found = product(left.astype(np.float32), right.astype(np.float32))
    np.testing.assert_allclose(found, left @ right, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 5))
def test_the_search_is_exact(queries: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bank = Bank(rng.normal(size=(size, 16)))
    features = rng.normal(size=(queries, 16)).astype(np.float32)
    every = np.linalg.norm(features[:, None] - bank.features.astype(np.float64)[None], axis=2)
    np.testing.assert_allclose(bank.distance(features), every.min(axis=1), rtol=1e-4, atol=1e-3)
    allowed = rng.random(size) < 0.5
    if allowed.any():
        found = bank.distance(features, allowed)
        np.testing.assert_allclose(found, every[:, allowed].min(axis=1), rtol=1e-4, atol=1e-3)


def test_what_is_not_a_number_has_no_distance() -> None:
    bank = Bank(np.random.default_rng(0).normal(size=(30, 16)))
    features = np.zeros((3, 16), np.float32)
    features[1, 4], features[2, 7] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        assert np.isfinite(bank.distance(features)).tolist() == [True, False, False]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 120), st.integers(1, 60), st.integers(0, 5))
def test_the_coreset_has_no_feature_twice(count: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 16)).astype(np.float32)
    chosen = greedy_coreset(features, size, rng)
    assert len(set(chosen.tolist())) == len(chosen) == min(size, count)


def test_the_coreset_covers_far_groups_first() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 16)) * 100
    features = (centers[:, None] + rng.normal(size=(5, 40, 16))).reshape(-1, 16)
    chosen = greedy_coreset(features.astype(np.float32), 5, rng)
    assert sorted(chosen // 40) == [0, 1, 2, 3, 4]


if __name__ == "__main__":  # python tests/detectors/test_coreset.py writes the networks again
    from pathlib import Path

    for name in ("nearest", "product"):
        Path(str(files("goodpart.detectors") / f"{name}.onnx")).write_bytes(program(name))
