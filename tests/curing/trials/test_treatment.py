"""Moments of a treatment, in this process: a session, a discovery and a little training."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradiometer.curing import parse_cure, parts_of
from gradiometer.curing.trials.live_treatment import Regimen
from gradiometer.curing.trials.passage import OwnHook, Passage, tensors_in
from gradiometer.curing.trials.treatment import TrialTreatment
from gradiometer.launching.discovery import Discovery
from gradiometer.launching.limits import TrainingStopped
from gradiometer.schema import Run
from gradiometer.session import Session


class Functional(nn.Module):
    """Sigmoids as functions, dropout inside."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.dropout(torch.sigmoid(self.first(x)), 0.5)
        return self.last(torch.sigmoid(self.second(hidden)))


def train(label: str, *, by_keyword: bool = False, steps: int = 3) -> tuple[nn.Module, Run, list[Any]]:
    """Train under a cure; returns the model, the run and what the script drew outside the model."""
    torch.manual_seed(0)
    session = Session(None, overhead=1.0, watches_every_step=True)
    cures = parts_of(parse_cure(label)) if label else ()
    discovery = Discovery(session, TrialTreatment(session, Regimen(cures, (), None, 0, 0.0)))
    discovery.start()
    drawn = []
    try:
        model = Functional()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(steps):
            batch = torch.randn(8, 4)
            drawn.append(batch.tolist())
            output = model(x=batch) if by_keyword else model(batch)
            optimizer.zero_grad()
            output.square().mean().backward()
            optimizer.step()
    finally:
        discovery.stop()
        session.stop()
    return model, session.run, drawn


def test_leaves_the_scripts_own_numbers_alone_whatever_the_cure() -> None:
    expected = train("")[2]

    for label in ("exchange_activation:relu", "redraw_weights:he", "insert_normalisation", "exchange_optimizer:adam"):
        assert train(label)[2] == expected, label


def test_digests_the_same_batches_whether_they_come_by_position_or_by_keyword() -> None:
    by_position = train("")[1].fingerprints
    by_keyword = train("", by_keyword=True)[1].fingerprints

    assert set(by_position) == {0, 1, 2}
    # The first call's keywords are past when its root is found.
    assert by_keyword == {step: digest for step, digest in by_position.items() if step > 0}


def test_notes_the_weights_as_they_were_before_a_cure() -> None:
    name = "initial_weights_fingerprint"
    control = train("")[1].facts[name]

    assert train("redraw_weights:he")[1].facts[name] == control
    assert train("insert_normalisation")[1].facts[name] == control


def test_sees_the_exchanged_function_in_every_step() -> None:
    run = train("exchange_activation:relu")[1]

    assert [layer.kind for layer in run.layers if layer.activation] == ["relu", "relu"]
    assert not [event for event in run.events if event.kind == "fault"]
    assert run.snapshot_count == 3


def test_lets_a_treated_model_be_saved_and_copied() -> None:
    model = train("exchange_activation:relu")[0]
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    copied = copy.deepcopy(model)
    x = torch.ones(2, 4)

    assert loaded(x).shape == copied(x).shape == (2, 1)
    assert torch.overrides._get_current_function_mode() is None


def test_ends_a_training_whose_cure_refuses() -> None:
    with pytest.raises(TrainingStopped):
        train("exchange_activation:sigmoid")


def test_tells_each_part_of_a_pair_with_its_place() -> None:
    run = train("exchange_activation:relu+redraw_weights:he+change_learning_rate:x0.5")[1]
    changes = run.facts["cure_changes"]

    # In the order of their moments, which is the order in the script as well.
    assert [change["label"].partition(":")[0] for change in changes] == [
        "change_learning_rate",
        "exchange_activation",
        "redraw_weights",
    ]
    assert [change["placement"] for change in changes] == ["after_optimizer", "before_optimizer", "before_optimizer"]


def test_takes_what_a_model_made_for_no_data() -> None:
    passage = Passage()
    output = torch.ones(3)
    passage.remember((output, {"hidden": [torch.ones(2)]}), 5)

    assert passage.made(output[:2])
    assert passage.made(torch.ones(2, requires_grad=True))
    assert not passage.made(torch.ones(3))
    passage.remember(torch.ones(1), 7)
    assert not passage.made(output)


def test_finds_tensors_in_whatever_holds_them() -> None:
    held = {"a": [torch.zeros(1), (torch.zeros(2), "text")], "b": None}
    assert [len(tensor) for tensor in tensors_in(held)] == [1, 2]


def test_hooks_one_module_and_none_of_its_copies() -> None:
    seen: list[dict[str, Any]] = []
    model = nn.Linear(2, 2)
    OwnHook(model, seen.append)
    copy.deepcopy(model)(torch.ones(1, 2))
    assert seen == []
    model(input=torch.ones(1, 2))
    assert list(seen[0]) == ["input"]
