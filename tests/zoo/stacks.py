"""Networks that are stacks of layers, each with layers or hooks that measuring might stumble over."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune


def stack(*layers: nn.Module) -> nn.Sequential:
    """Layers and a head from width 16 to ten classes."""
    return nn.Sequential(*layers, nn.Linear(16, 10))


def cnn() -> nn.Module:
    """Convolutions with in-place ReLU, pooling and batch norm."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2),
        nn.Hardswish(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def norms() -> nn.Module:
    """Every normalising layer that keeps shapes, one after another."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.LocalResponseNorm(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.LayerNorm([4, 8, 8]),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.RMSNorm(16),
        nn.BatchNorm1d(16, affine=False),
        nn.Linear(16, 10),
    )


def parametrised() -> nn.Module:
    """Weights that are computed from others, one with a buffer that every forward changes."""
    return stack(
        parametrizations.weight_norm(nn.Linear(16, 16)),
        nn.Tanh(),
        parametrizations.spectral_norm(nn.Linear(16, 16)),
        nn.Tanh(),
        parametrizations.orthogonal(nn.Linear(16, 16)),
        nn.Tanh(),
    )


def pruned() -> nn.Module:
    """A pruned layer, which computes its weight in a forward pre-hook."""
    layer = nn.Linear(16, 16)
    prune.random_unstructured(layer, "weight", amount=0.3)
    return stack(layer, nn.Tanh(), nn.Linear(16, 16), nn.ELU())


def hooked() -> nn.Module:
    """The script's own hooks: one exchanges an output, one changes a gradient, one an argument."""
    model = stack(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Sigmoid())
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    model[2].register_full_backward_hook(lambda module, into, out: (into[0] * 0.5,))
    model[4].register_forward_pre_hook(lambda module, args: (args[0] + 0.1,))
    model[5].register_forward_hook(keep_gradient)
    model[6].weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return model


def keep_gradient(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
    """Change the gradient at an output."""
    if output.requires_grad:
        output.register_hook(lambda gradient: gradient * 1.5)


def scripted() -> nn.Module:
    """A part in TorchScript, with layers inside."""
    part = nn.Sequential(nn.Linear(16, 16), nn.Tanh())
    return stack(nn.Linear(16, 16), warm(torch.jit.script(part)), nn.Linear(16, 16))


def traced() -> nn.Module:
    """A part recorded by tracing."""
    part = nn.Sequential(nn.Linear(16, 16), nn.Tanh())
    return stack(nn.Linear(16, 16), warm(torch.jit.trace(part, torch.ones(2, 16))), nn.Linear(16, 16))


def warm(part: nn.Module) -> nn.Module:
    """Call a part of TorchScript until it is compiled for good: its first calls, in all a process, have other bits."""
    for _ in range(4):
        part(torch.ones(8, 16, requires_grad=True)).sum().backward()
    part.zero_grad()
    return part


def lazy() -> nn.Module:
    """Layers that take their shape at the first call."""
    model = nn.Sequential(nn.LazyLinear(16), nn.LazyBatchNorm1d(), nn.Tanh(), nn.LazyLinear(10))
    model(torch.ones(2, 16))
    return model


def dropouts() -> nn.Module:
    """Everything that draws random numbers in a forward pass."""
    return stack(nn.Linear(16, 16), nn.Dropout(0.3), nn.RReLU(), nn.AlphaDropout(0.1), nn.FeatureAlphaDropout(0.1))


def activations() -> nn.Module:
    """Activation modules of every kind, in place where they can be."""
    kinds: Iterator[nn.Module] = iter(
        (
            nn.ELU(inplace=True),
            nn.SiLU(inplace=True),
            nn.GELU("tanh"),
            nn.LeakyReLU(0.1, inplace=True),
            nn.Softplus(2.0),
            nn.PReLU(16),
            nn.Mish(inplace=True),
            nn.Hardtanh(inplace=True),
            nn.Softsign(),
            nn.LogSigmoid(),
            nn.CELU(0.5),
            nn.SELU(),
            nn.ReLU6(inplace=True),
            nn.Tanhshrink(),
        )
    )
    return stack(*(layer for kind in kinds for layer in (nn.Linear(16, 16), kind)))
