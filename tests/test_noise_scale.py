"""Noise scale on populations whose covariance and gradient are known."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from gradiometer.measuring.per_example import LayerUse, squared_gradient_norms
from gradiometer.noise_scale import (
    NoiseTerms,
    noise_scale,
    noise_terms,
    noise_terms_of_two_batches,
)


@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 1000))
def test_both_terms_are_unbiased_over_every_batch_of_a_small_population(size: int, axes: int, seed: int) -> None:
    population = np.random.default_rng(seed).normal(0.3, 1.0, (4, axes))
    terms = [
        noise_terms(np.square(batch).sum(1), np.square(batch.mean(0)).sum())
        for batch in (population[list(picked)] for picked in itertools.product(range(4), repeat=size))
    ]
    gradient = population.mean(0)
    assert np.mean([term.gradient_squared for term in terms]) == pytest.approx(np.square(gradient).sum(), abs=1e-12)
    assert np.mean([term.trace for term in terms]) == pytest.approx(np.square(population - gradient).sum() / 4)


def test_noise_scale_of_a_linear_regression_with_known_covariance() -> None:
    # Standard normal inputs, residual noise sigma, weights off by delta: a gradient is x (x.delta - noise), so that
    # G = delta and tr(Sigma) = (d + 1) |delta|^2 + sigma^2 d.
    features, batch, sigma = 5, 64, 0.5
    layer = nn.Linear(features, 1, bias=False).double()
    delta = layer.weight.detach().squeeze(0)
    terms = []
    for _ in range(400):
        inputs = torch.randn(batch, features, dtype=torch.float64)
        target = sigma * torch.randn(batch, 1, dtype=torch.float64)
        output = layer(inputs)
        loss = 0.5 * (output - target).square().mean()
        at_output, at_weight = torch.autograd.grad(loss, [output, layer.weight])
        norms = squared_gradient_norms([LayerUse(layer, inputs, at_output)], loss_divisor=batch)
        terms.append(noise_terms(norms.squared_norms[layer.weight].numpy(), float(at_weight.square().sum())))
    length = float(delta.square().sum())
    trace = (features + 1) * length + sigma**2 * features
    found = noise_scale(terms)
    assert found.step_count == 400
    assert found.examples == pytest.approx(trace / length, abs=4 * found.examples_error)
    assert found.gradient_squared == pytest.approx(length, abs=4 * found.gradient_squared_error)
    assert found.trace == pytest.approx(trace, abs=4 * found.trace_error)
    assert found.examples_error < 0.1 * found.examples


def test_jackknife_error_is_the_spread_of_repeated_measurements() -> None:
    generator = np.random.default_rng(1)
    repeats = []
    for _ in range(300):
        gradients = generator.normal(0.5, 1.0, (40, 16, 3))
        repeats.append(
            noise_scale([noise_terms(np.square(one).sum(1), np.square(one.mean(0)).sum()) for one in gradients])
        )
    spread = np.std([repeat.examples for repeat in repeats])
    # The error's own relative spread over 40 steps is about 10 %; its mean over 300 repeats is close to the truth.
    assert np.mean([repeat.examples_error for repeat in repeats]) == pytest.approx(spread, rel=0.15)


def test_a_gradient_lost_in_noise_is_returned_negative() -> None:
    found = noise_scale([noise_terms([1.0, 1.0, 1.0], 0.1), noise_terms([1.0, 1.0, 1.0], 0.2)])
    assert found.gradient_squared < 0.0
    assert found.examples < 0.0


def test_the_ratio_is_of_averages() -> None:
    found = noise_scale([NoiseTerms(1.0, 10.0), NoiseTerms(-0.5, 12.0), NoiseTerms(math.nan, 1.0)])
    assert found.examples == pytest.approx(44.0)
    assert found.step_count == 2


def test_two_batch_sizes_say_what_the_published_formula_says() -> None:
    found = noise_terms_of_two_batches(8, 3.0, 32, 1.5)
    assert found.gradient_squared == pytest.approx((32 * 1.5 - 8 * 3.0) / 24)
    assert found.trace == pytest.approx((3.0 - 1.5) / (1 / 8 - 1 / 32))


def test_too_little_to_say_is_nan() -> None:
    assert math.isnan(noise_terms([2.0], 2.0).trace)
    assert math.isnan(noise_terms_of_two_batches(4, 1.0, 4, 1.0).gradient_squared)
    assert math.isnan(noise_scale([]).examples)
    single = noise_scale([NoiseTerms(2.0, 8.0)])
    assert single.examples == pytest.approx(4.0)
    assert math.isnan(single.examples_error)
    assert math.isnan(noise_scale([NoiseTerms(0.0, 8.0)] * 2).examples)
