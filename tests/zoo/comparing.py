"""Trains cases with and without gradiometer, and compares what comes out with what must."""

import functools
import random
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gradiometer
from gradiometer.schema import Run
from zoo.cases import Case, Training
from zoo.oracle import Oracle, leaves


@contextmanager
def warnings_of_torch() -> Iterator[None]:
    """Let pass what torch says of features that are on their way out, and that a script under test may use."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=Warning)
        warnings.filterwarnings("ignore", message="Lazy modules are a new feature", category=UserWarning)
        warnings.filterwarnings("ignore", message="Anomaly Detection has been enabled", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*epoch parameter in `scheduler.step", category=UserWarning)
        yield


@functools.lru_cache(maxsize=8)
def train(case: Case, overhead: float | None) -> tuple[dict[str, bytes], Run | None]:
    """Train a case and tell everything that it leaves behind, bit for bit, and what was measured.

    Args:
        case: The case.
        overhead: Share that measuring may take; None trains without gradiometer.
    """
    random.seed(0)
    np.random.seed(0)
    with torch.random.fork_rng(), warnings_of_torch():
        training = case.start()
        torch.manual_seed(1)
        if overhead is None:
            case.loop(training)
            return left_behind(training), None
        watching = watch(case, training, overhead)
        with watching:
            case.loop(training)
        assert not watching.session.probe.guard.is_broken, watching.run.events
        return left_behind(training), watching.run


def watch(case: Case, training: Training, overhead: float) -> Any:
    """A watch on all roots of a training."""
    (first, root), *others = case.roots(training.model).items()
    watching = gradiometer.watch(root, training.optimizers or None, overhead=overhead)
    if others:
        probe = watching.session.probe
        probe.roots.clear()
        for other, module in [(first, root), *others]:
            probe.watch_root(module, other)
    return watching


def left_behind(training: Training) -> dict[str, bytes]:
    """Weights, buffers, gradients, optimizers' memory and random states as bytes."""
    model = training.model
    found: dict[str, Any] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    found |= {f"{name} gradient": parameter.grad for name, parameter in model.named_parameters()}
    for number, optimizer in enumerate(training.optimizers):
        found |= flat(optimizer.state_dict(), f"optimizer {number}")
    found["torch random state"] = torch.get_rng_state()
    found["numpy random state"] = np.random.get_state()[1].tobytes()
    found["python random state"] = repr(random.getstate()).encode()
    return {key: bits(value) for key, value in found.items()}


def flat(value: Any, place: str) -> dict[str, Any]:
    """Nested dictionaries and lists as one level."""
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in flat(part, f"{place} {key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for index, part in enumerate(value) for k, v in flat(part, f"{place} {index}").items()}
    return {place: value}


def bits(value: Any) -> bytes:
    """A tensor's number format, shape and elements; anything else as it is written."""
    if not isinstance(value, Tensor):
        return value if isinstance(value, bytes) else repr(value).encode()
    dense = value.detach().to_dense() if value.is_sparse else value.detach()
    elements = torch.view_as_real(dense) if dense.is_complex() else dense
    raw = elements.cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{value.dtype} {tuple(value.shape)} {value.layout}".encode() + raw.numpy().tobytes()


def changed(case: Case, overhead: float) -> list[str]:
    """What a training with gradiometer leaves behind other than one without; empty where all bits are the same."""
    bare, watched = train(case, None)[0], train(case, overhead)[0]
    return [key for key in bare | watched if bare.get(key) != watched.get(key)]


def budget_error_db(run: Run, case: Case) -> float:
    """By how much the gains along the trunk miss the level difference at worst, over all full steps, dB.

    A step whose gradients overflowed has no levels and is left out; the last has to have some.
    """
    worst, levels = 0.0, np.array([np.nan])
    for snapshot in range(run.snapshot_count):
        trunk = list(run.trunk(snapshot))
        if len(trunk) < case.trunk:
            return float("inf")
        levels = run.layer_columns["level_db"][snapshot, trunk]
        gains = run.layer_columns["gain_db"][snapshot, trunk]
        if np.isfinite(levels).all():
            worst = max(worst, abs(gains[:-1].sum() - (levels[-1] - levels[0])))
    return float(worst) if np.isfinite(levels).all() else float("inf")


def untold(run: Run, case: Case) -> list[tuple[str, str]]:
    """Unseen layers with a reason that the case does not expect, and expected ones that are not there."""
    expected = case.unseen.items()
    told = [
        (layer, reason)
        for layer, reason in run.coverage.unseen
        if not any(re.fullmatch(pattern, layer) and reason.startswith(text) for pattern, text in expected)
    ]
    names = [layer for layer, _ in run.coverage.unseen]
    return told + [(pattern, text) for pattern, text in expected if not any(re.fullmatch(pattern, n) for n in names)]


@dataclass(frozen=True)
class FirstStep:
    """One step in float64: as gradiometer measures it, and as the oracle hears it on another copy."""

    run: Run
    oracle: Oracle
    names: set[str]

    def column(self, name: str, layer: str) -> float:
        """A figure of a layer; nan where it was not measured."""
        return float(self.run.layer_columns[name][0, self.run.layer_index(layer)])


@functools.lru_cache(maxsize=2)
def first_step(case: Case) -> FirstStep:
    """Take a case's first step twice."""
    with torch.random.fork_rng(), warnings_of_torch():
        training = case.start(torch.float64)
        stepper = torch.optim.SGD(training.model.parameters(), lr=0.0)
        with gradiometer.watch(training.model, stepper, overhead=1.0) as watching:
            training.loss(training.model, training.batches[0]).backward()
            stepper.step()
        twin = case.start(torch.float64)
        oracle = Oracle().listen(twin)
        names = {layer for layer, module in leaves(twin.model) if not isinstance(module, torch.jit.ScriptModule)}
        return FirstStep(watching.run, oracle, names)


def wrong_levels(case: Case) -> dict[str, tuple[float, float]]:
    """Gradient norms that differ from the oracle's by more than 1e-5: measured, true."""
    step = first_step(case)
    pairs = {
        layer: (step.column("output_gradient_norm", layer), norm)
        for layer, norm in step.oracle.levels().items()
        if layer not in case.views
    }
    return {layer: pair for layer, pair in pairs.items() if not np.isclose(*pair, rtol=1e-5, atol=0.0)}


def compare_gains(case: Case) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many gains were compared with the oracle's, and those that differ by more than 1e-5: measured, true."""
    step = first_step(case)
    pairs = {layer: (10 ** (step.column("gain_db", layer) / 20), gain) for layer, gain in step.oracle.gains().items()}
    known = {layer: pair for layer, pair in pairs.items() if not np.isnan(pair[0])}
    return len(known), {layer: p for layer, p in known.items() if not np.isclose(*p, rtol=1e-5, atol=0.0)}


def falsely_covered(case: Case) -> set[str]:
    """Layers that gradiometer calls unseen and the oracle heard a gradient of, or the other way round.

    What the script wrote over through a view has no place in the graph; the oracle hands such writes a clone.
    """
    step = first_step(case)
    heard = {layer.partition("#")[0] for layer in step.oracle.levels()}
    unseen = {layer for layer, _ in step.run.coverage.unseen} - set(case.views)
    return unseen ^ (step.names - heard)
