"""gradiometer's truth benchmark draws the same trainings every time, and each fault changes its training."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from benchmarks.truth.families import FAMILIES, draw_setup
from benchmarks.truth.faults import FAULTS, assign_faults, parts_of
from benchmarks.truth.running import make_faulty
from benchmarks.truth.training import Training, make_training

DRAWN = 220


def fitting_number(fault: str) -> int:
    return next(number for number in range(10_000) if FAULTS[fault].fits(draw_setup(number)))


def first_update(training: Training) -> dict[str, object]:
    """Everything that a fault can change: weights after one step, the loss, and what the optimizer holds."""
    optimizer = training.make_optimizer()
    batch = torch.arange(training.setup.batch)
    if training.zeroing == "before":
        optimizer.zero_grad()
    loss = training.loss_of(training.model(training.inputs[batch]), training.targets[batch])
    loss.backward()
    if training.zeroing == "after":
        optimizer.zero_grad()
    optimizer.step()
    weights = [parameter.detach().float().flatten() for parameter in training.model.parameters()]
    return {"loss": loss.item(), "weights": torch.cat(weights), "held": len(training.parameters)}


def test_draws_the_same_set_up_from_the_same_number() -> None:
    assert [draw_setup(number) for number in range(DRAWN)] == [draw_setup(number) for number in range(DRAWN)]
    assert draw_setup(3) != draw_setup(3 + len(FAMILIES))


def test_draws_every_family() -> None:
    assert {draw_setup(number).family for number in range(DRAWN)} == set(FAMILIES)


def test_splits_every_fault_into_two_parts_that_differ_by_one_at_most() -> None:
    assigned = assign_faults(DRAWN)
    parts = Counter(zip(assigned, parts_of(assigned), strict=True))
    assert all(abs(parts[fault, "choosing"] - parts[fault, "reporting"]) <= 1 for fault in FAULTS)
    assert parts_of(assigned[:50]) == parts_of(assigned)[:50]


def test_assigns_each_fault_where_it_fits_and_none_much_oftener_than_others() -> None:
    assigned = assign_faults(DRAWN)
    assert set(assigned) == set(FAULTS)
    assert all(FAULTS[fault].fits(draw_setup(number)) for number, fault in enumerate(assigned))
    assert assign_faults(50) == assigned[:50]


def test_trains_the_same_twin_from_the_same_number() -> None:
    one, other = (first_update(make_training(draw_setup(11))) for _ in range(2))
    assert torch.equal(one["weights"], other["weights"])
    assert one["loss"] == other["loss"]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("fault", FAULTS)
def test_changes_the_training_by_each_fault(fault: str) -> None:
    number = fitting_number(fault)
    twin, _ = make_faulty(number, "")
    faulty, layer = make_faulty(number, fault)
    assert layer == "" or layer in dict(faulty.model.named_modules())
    if fault == "gradients never zeroed":
        assert (twin.zeroing, faulty.zeroing) == ("before", "never")
        return
    before, after = first_update(twin), first_update(faulty)
    is_same_weights = before["weights"].shape == after["weights"].shape and torch.equal(
        before["weights"], after["weights"]
    )
    assert not is_same_weights


def test_names_conditions_and_causes_for_every_fault_that_counts() -> None:
    for name, fault in FAULTS.items():
        assert fault.is_control or (fault.conditions and fault.causes), name
        assert not fault.is_control or not fault.is_curable, name


def test_judges_a_training_by_the_share_of_a_constant_guess() -> None:
    training = make_training(replace(draw_setup(0), data="wines"))
    shares = torch.bincount(training.targets) / len(training.targets)
    training.read = lambda outputs: shares.log().expand(len(outputs), -1)
    assert training.evaluate() == pytest.approx(1.0)
    training.read = lambda outputs: torch.full((len(outputs), 3), float("nan"))
    assert training.evaluate() == 1e6
