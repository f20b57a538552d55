from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from goodpart.detectors.autoencoder_scores import (
    WRAPPED_NONE,
    heatmap,
    variance_score,
    wrapped_heatmap,
    wrapped_score,
)

SHARED = Path(__file__).parents[3] / "shared" / "seed"
IMAGE = np.array([[0, 10, 200, 255]], dtype=np.uint8)


def test_the_heatmap_clamps_and_does_not_wrap() -> None:
    reconstruction = np.array([[1.5, 20 / 255, -0.2, 0.0]])
    assert heatmap(IMAGE, reconstruction).tolist() == [[255, 10, 200, 255]]


def test_the_wrapped_heatmap_wraps_twice() -> None:
    reconstruction = np.array([[1.5, 20 / 255, -0.2, 0.0]])
    # 1.5 -> 382 -> 126; 0 - 126 -> 130. 10 - 20 -> 246. -0.2 -> -51 -> 205; 200 - 205 -> 251.
    assert wrapped_heatmap(IMAGE, reconstruction).tolist() == [[130, 246, 251, 255]]


def test_scores_are_the_variance_of_differences_above_100() -> None:
    differences = np.array([[0, 100, 101, 103]], dtype=np.float32)
    assert variance_score(differences) == wrapped_score(differences) == 1.0


def test_no_large_difference_is_good_or_to_the_original_bad() -> None:
    still = np.full((4, 4), 100, dtype=np.float32)
    assert variance_score(still) == 0.0
    assert wrapped_score(still) == WRAPPED_NONE


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published weights and caps are not here")
def test_the_published_weights_reconstruct_the_real_caps() -> None:
    torch = pytest.importorskip("torch")
    from goodpart.detectors.autoencoder_networks import SeedAutoencoder, load_seed_weights
    from goodpart.parts.road import resize_part

    network = SeedAutoencoder()
    load_seed_weights(network, SHARED)
    errors, scores, wrapped = [], [], []
    for path in sorted((SHARED / "real_caps").glob("*.png")):
        cap = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        image = resize_part(cap, (480, 480))
        with torch.no_grad():
            given = torch.from_numpy(image.astype(np.float32) / 255)[None, None]
            drawn = network(given)[0, 0].numpy()
        errors.append(float(np.square(drawn - image / 255).mean()))
        scores.append(variance_score(heatmap(image, drawn)))
        wrapped.append(wrapped_score(wrapped_heatmap(image, drawn)))
        assert errors[-1] < 0.25 * (image / 255).var()
    assert min(errors) >= 0.0010 and max(errors) <= 0.0083
    assert sum(score == 0 for score in scores) >= 5 and 500 < max(scores) < 600
    assert min(wrapped) == pytest.approx(57, abs=1) and max(wrapped) == pytest.approx(423, abs=1)
