"""Whether a training shows the fault that was diagnosed."""

from gradiometer.curing.trials.faults import share_a_fault
from gradiometer.schema import Cause, Finding, Severity


def found(condition: str, cause: str, *consequences: Finding, severity: Severity = "critical") -> Finding:
    return Finding(condition, severity, (), Cause(cause, None, ""), (), (), "", consequences=consequences)


def test_knows_a_fault_by_its_condition_or_by_its_cause() -> None:
    diagnosed = [found("vanishing", "activation_slope")]
    assert share_a_fault([found("vanishing", "weight_scale")], diagnosed)
    assert share_a_fault([found("saturated", "activation_slope")], diagnosed)
    assert not share_a_fault([found("stalled", "unknown")], [found("vanishing", "unknown")])
    assert not share_a_fault([found("vanishing", "activation_slope", severity="info")], diagnosed)


def test_takes_a_loss_that_is_no_number_again_for_the_same_fault() -> None:
    overflow = found("non_finite", "loss")
    thrown = found("thrashing", "gradient", overflow)
    assert share_a_fault([overflow], [thrown])
    assert share_a_fault([thrown], [overflow])
    assert not share_a_fault([found("non_finite", "loss", severity="info")], [thrown])
    assert not share_a_fault([found("stalled", "unknown")], [thrown])
