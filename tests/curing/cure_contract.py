"""What every cure keeps, as functions for any network: its snippet gives the same bits, it changes something, and
it draws no global random number.

A network is given by a function that makes it, the same one every time, and the batch that its first forward takes.
"""

import copy
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.overrides import TorchFunctionMode

from curing.patients import same_bits
from gradiometer.curing import Patient, parse_cure
from gradiometer.curing.verification import state_of, verify_change
from gradiometer.errors import CureRefusedError

MakeNetwork = Callable[[], nn.Module]
MakeOptimizer = Callable[[nn.Module], Optimizer]


def descent(model: nn.Module) -> Optimizer:
    """Plain descent with momentum."""
    return SGD(model.parameters(), lr=0.1, momentum=0.9)


def patient_of(
    make_network: MakeNetwork, batch: Tensor, samples: Tensor | None = None, make_optimizer: MakeOptimizer = descent
) -> Patient:
    """A fresh network with its optimizer, at its first forward."""
    model = make_network()
    optimizer = make_optimizer(model)
    return Patient(model, optimizer, optimizer.param_groups, inputs=(batch,), samples=samples)


def train_on(
    batch: Tensor,
    model: nn.Module,
    optimizer: Optimizer,
    modes: Sequence[TorchFunctionMode] = (),
    script_modes: Sequence[TorchFunctionMode] = (),
    steps: int = 3,
) -> Tensor:
    """Take a few steps on a batch as the launcher would; returns the last outputs."""
    generator = torch.Generator().manual_seed(5)
    outputs = torch.zeros(0)
    with ExitStack() as stack:
        for mode in script_modes:
            stack.enter_context(mode)
        for step in range(steps):
            with ExitStack() as forward:
                for mode in modes:
                    forward.enter_context(mode)
                outputs = model(batch.roll(step, 0)).flatten(0, -2)
            targets = torch.randint(0, outputs.shape[-1], (len(outputs),), generator=generator)
            optimizer.zero_grad()
            F.cross_entropy(outputs, targets).backward()
            optimizer.step()
    return outputs.detach()


def train_patient(patient: Patient, batch: Tensor) -> Tensor:
    """Take a few steps with what a cure has made of a patient."""
    assert patient.optimizer is not None
    return train_on(batch, patient.model, patient.optimizer, patient.forward_modes, patient.script_modes)


def check_snippet(
    label: str,
    make_network: MakeNetwork,
    batch: Tensor,
    samples: Tensor | None = None,
    make_optimizer: MakeOptimizer = descent,
) -> None:
    """The snippet, run on a fresh model, gives the same outputs and weights as the cure, to the bit."""
    patient, cure = patient_of(make_network, batch, samples, make_optimizer), parse_cure(label)
    assert cure.apply(patient)
    expected = train_patient(patient, batch)

    code = cure.snippet(patient_of(make_network, batch, samples, make_optimizer))
    assert "gradiometer" not in code
    names = {"model": make_network(), "inputs": samples if "samples" in cure.needs else batch}
    if cure.placement == "before_optimizer":
        exec(code, names)
    names["optimizer"] = make_optimizer(names["model"])
    if cure.placement == "after_optimizer":
        exec(code, names)
    outputs = train_on(batch, names["model"], names["optimizer"])
    assert torch.equal(outputs, expected)
    assert same_bits(names["model"].state_dict(), patient.model.state_dict())


def check_change(label: str, make_network: MakeNetwork, batch: Tensor, samples: Tensor | None = None) -> None:
    """The cure changes something that a treatment sees, and that shows in training."""
    patient = patient_of(make_network, batch, samples)
    before = state_of(patient)
    parse_cure(label).apply(patient)
    verify_change(label, before, state_of(patient))
    untouched = train_patient(patient_of(make_network, batch, samples), batch)
    assert not torch.equal(train_patient(patient, batch), untouched)


def check_refusal(
    label: str, make_network: MakeNetwork, batch: Tensor, reason: str, samples: Tensor | None = None
) -> None:
    """The cure refuses with this reason, and has changed nothing."""
    patient = patient_of(make_network, batch, samples)
    before = state_of(patient)
    with pytest.raises(CureRefusedError, match=reason):
        parse_cure(label).apply(patient)
    assert state_of(patient) == before


def check_random_state(label: str, make_network: MakeNetwork, batch: Tensor, samples: Tensor | None = None) -> None:
    """Neither the cure nor its snippet draws a global random number."""
    patient = patient_of(make_network, batch, samples)
    before = torch.get_rng_state()
    parse_cure(label).snippet(patient)
    parse_cure(label).apply(patient)
    assert torch.equal(torch.get_rng_state(), before)


def check_labels(label: str) -> None:
    """A label can be read back as the same cure, and the cure can be copied."""
    cure = parse_cure(label)
    assert cure.label == label
    assert parse_cure(cure.label) == cure
    assert copy.deepcopy(cure) == cure
