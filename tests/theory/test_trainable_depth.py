"""How deep networks train, beside six xi_c: the rule of Schoenholz et al. 2017, on the ordered side."""

import math
import os

import numpy as np
import pytest
import torch

from gradiometer.activations import ACTIVATIONS
from gradiometer.theory.correlation_map import correlation_depth_scale
from theory.training import digits, gaussian_networks, trained_accuracy

SIGMA_W_SQUARES = (1.0, 1.25, 1.5)
DEPTHS = (5, 10, 20, 30, 45, 70, 100)
SIGMA_B = math.sqrt(0.05)


def mnist():
    """The first 5,000 images of MNIST, standardised."""
    place = os.environ.get("GRADIOMETER_MNIST", "")
    if not place:
        pytest.skip("GRADIOMETER_MNIST names no mnist.npz with x_train and y_train")
    with np.load(place) as file:
        images = torch.tensor(file["x_train"][:5000].reshape(5000, 784) / 255.0, dtype=torch.float32)
        labels = torch.tensor(file["y_train"][:5000].astype(np.int64))
    return (images - images.mean()) / images.std(), labels


def halfway_depths(images, labels, seed):
    """Depth at which the accuracy after 300 steps falls to half-way between its best and chance, for each scale."""
    accuracies = []
    for depth in DEPTHS:
        sizes = [images.shape[1], *([100] * depth), 10]
        networks = gaussian_networks([math.sqrt(square) for square in SIGMA_W_SQUARES], SIGMA_B, sizes, seed)
        rates = torch.full((len(SIGMA_W_SQUARES),), 0.01)
        accuracies.append(trained_accuracy(images, labels, *networks, rates, steps=300))
    depths = []
    for row in np.array(accuracies).T:
        after = int(np.argmax(row < 0.5))
        share = (row[after - 1] - 0.5) / (row[after - 1] - row[after])
        depths.append(DEPTHS[after - 1] + share * (DEPTHS[after] - DEPTHS[after - 1]))
    return depths


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("data", [digits, mnist])
def test_trains_to_about_six_depth_scales_on_the_ordered_side(data):
    images, labels = data()
    measured = np.mean([halfway_depths(images, labels, seed) for seed in range(2)], axis=0)
    for square, depth in zip(SIGMA_W_SQUARES, measured, strict=True):
        expected = 6.0 * correlation_depth_scale(ACTIVATIONS["tanh"], math.sqrt(square), SIGMA_B)
        # the tolerance of the published rule: the depth where half of the accuracy is lost is no sharp line
        assert 0.6 <= depth / expected <= 1.5, (square, depth, expected)
