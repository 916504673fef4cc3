"""Deep tanh networks trained side by side, for claims about depth and learning rate."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def digits() -> tuple[Tensor, Tensor]:
    """The digits that scikit-learn brings, pixels from -1 to 1."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return torch.tensor((images / 16.0 - 0.5) * 2.0, dtype=torch.float32), torch.tensor(labels)


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A matrix with orthonormal rows or columns, whichever are fewer."""
    drawn = torch.randn(max(rows, columns), min(rows, columns), generator=generator)
    matrix = torch.linalg.qr(drawn)[0]
    return matrix if rows >= columns else matrix.T


def trained_accuracy(
    images: Tensor,
    labels: Tensor,
    weights: list[Tensor],
    biases: list[Tensor],
    rates: Tensor,
    *,
    steps: int,
    **kind: object,
) -> list[float]:
    """Train several networks at once on the same batches of 64.

    Args:
        images: Examples [example input].
        labels: Their classes.
        weights: One tensor per layer [network input output].
        biases: One tensor per layer [network 1 output].
        rates: Learning rate of each network.
        steps: Steps to train.
        kind: `momentum`, or `is_adam`.

    Returns:
        Mean accuracy of each network over the last 20 steps.
    """
    generator, accuracies = torch.Generator().manual_seed(0), []
    parameters = [tensor.requires_grad_() for tensor in (*weights, *biases)]
    first, second = ([torch.zeros_like(tensor) for tensor in parameters] for _ in range(2))
    rate, momentum = rates[:, None, None], float(kind.get("momentum", 0.0))  # type: ignore[arg-type]
    for step in range(steps):
        chosen = torch.randint(len(images), (64,), generator=generator)
        hidden = images[chosen].expand(len(rates), -1, -1)
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = torch.tanh(torch.baddbmm(bias, hidden, weight))
        outputs = torch.baddbmm(biases[-1], hidden, weights[-1])
        targets = labels[chosen].repeat(len(rates))
        loss = 10.0 / 640.0 * functional.cross_entropy(outputs.reshape(-1, 10), targets, reduction="sum")
        accuracies.append((outputs.argmax(-1) == labels[chosen]).float().mean(1))
        gradients = torch.autograd.grad(loss, parameters)
        for tensor, gradient, mean, square in zip(parameters, gradients, first, second, strict=True):
            if kind.get("is_adam"):
                mean.lerp_(gradient, 0.1)
                square.lerp_(gradient**2, 0.001)
                root = (square / (1.0 - 0.999 ** (step + 1))).sqrt()
                tensor.data.sub_(rate * mean / (1.0 - 0.9 ** (step + 1)) / (root + 1e-8))
            else:
                mean.mul_(momentum).add_(gradient)
                tensor.data.sub_(rate * mean)
    return [float(share) for share in torch.stack(accuracies[-20:]).mean(0)]


def gaussian_networks(
    sigma_ws: list[float], sigma_b: float, sizes: list[int], seed: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Networks whose weights are Gaussian, one for each scale of the weights."""
    generator, scale = torch.Generator().manual_seed(seed), torch.tensor(sigma_ws)[:, None, None]
    pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
    weights = [scale * torch.randn(len(sigma_ws), a, b, generator=generator) / math.sqrt(a) for a, b in pairs]
    biases = [sigma_b * torch.randn(len(sigma_ws), 1, b, generator=generator) for _, b in pairs]
    return weights, biases
