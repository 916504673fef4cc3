"""What is at fault in the program itself, in the shapes in which people write it, and what only looks like it."""

import pytest
import torch
from specimens import Chain, adam, descent, draw, draw_he, make_clusters, train
from specimens_setup import bent_data, decay, drop, halve, loop, never_zero, scale, zero_first
from torch import Tensor, nn
from torch.nn import functional as F

from gradiometer.diagnosing import diagnose
from gradiometer.schema import Finding, Run
from gradiometer.session import watch


def found_in(run: Run, condition: str) -> Finding | None:
    return next((finding for finding in diagnose(run).findings if finding.condition == condition), None)


def alarms_of(run: Run) -> list[str]:
    return [finding.condition for finding in diagnose(run).findings if finding.severity != "info"]


def classifier(outputs: int = 10) -> nn.Module:
    return draw(Chain(2, nn.ReLU(), outputs), draw_he)


def pair(unit, loss_fn, targets: Tensor, outputs: int = 10, optimizer=None, steps: int = 60) -> Run:
    """Train with an output unit and a loss, written where the loss is computed."""
    torch.manual_seed(0)
    data = (make_clusters()[0], targets)
    model = classifier(outputs)
    return train(model, optimizer or descent(0.1), steps=steps, data=data, loss_fn=lambda out, y: loss_fn(unit(out), y))


POINTS, LABELS = make_clusters()
ONE_HOT = F.one_hot(LABELS, 10).float()
SUMS = POINTS[:, :3].sum(dim=1)
PIXELS = torch.sigmoid(POINTS)


@pytest.mark.parametrize(
    ("unit", "loss_fn", "targets", "outputs", "words"),
    [
        (torch.sigmoid, F.cross_entropy, LABELS, 10, "take the sigmoid out"),
        (torch.relu, F.cross_entropy, LABELS, 10, "take the ReLU out"),
        (lambda out: out.softmax(1), F.nll_loss, LABELS, 10, "log_softmax in place of softmax"),
        (lambda out: out.softmax(0), F.cross_entropy, LABELS, 10, "dim=1"),
        (torch.sigmoid, F.binary_cross_entropy_with_logits, ONE_HOT, 10, "take the sigmoid out"),
        (lambda out: out.softmax(1)[:, 0], F.binary_cross_entropy, (LABELS > 4).float(), 1, "one output unit"),
        (lambda out: out, F.mse_loss, SUMS, 1, "output.squeeze(1)"),
        (lambda out: out, lambda out, y: ((out - y) ** 2).mean(), SUMS, 1, "output.squeeze(1)"),
        (torch.tanh, F.mse_loss, SUMS[:, None], 1, "without an output unit"),
        (torch.sigmoid, F.mse_loss, ONE_HOT, 10, "CrossEntropyLoss"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
def test_says_what_to_write_where_output_unit_and_loss_do_not_belong_together(unit, loss_fn, targets, outputs, words):
    finding = found_in(pair(unit, loss_fn, targets, outputs), "mismatched_loss")
    assert finding is not None
    assert finding.severity != "info"
    assert words.lower() in finding.summary.lower()
    assert finding.step == 0


@pytest.mark.parametrize(
    ("unit", "loss_fn", "targets", "outputs"),
    [
        (lambda out: out.log_softmax(1), F.cross_entropy, LABELS, 10),
        (lambda out: out.log_softmax(1), F.nll_loss, LABELS, 10),
        (lambda out: out.softmax(1).log(), F.nll_loss, LABELS, 10),
        (lambda out: 5.0 * torch.tanh(out / 5.0), F.cross_entropy, LABELS, 10),
        (torch.sigmoid, F.binary_cross_entropy, ONE_HOT, 10),
        (lambda out: out.squeeze(1), F.mse_loss, SUMS, 1),
        (torch.sigmoid, F.mse_loss, PIXELS, 16),
        (torch.sigmoid, F.binary_cross_entropy, PIXELS, 16),
        (torch.tanh, F.mse_loss, 2.0 * PIXELS - 1.0, 16),
    ],
)
def test_leaves_output_units_alone_that_belong_to_their_loss(unit, loss_fn, targets, outputs):
    run = pair(unit, loss_fn, targets, outputs, adam(3e-3))
    assert found_in(run, "mismatched_loss") is None
    assert alarms_of(run) == []


@pytest.mark.slow
def test_does_not_alarm_at_a_softmax_before_a_cross_entropy_that_has_learned_all_there_is():
    finding = found_in(
        pair(lambda out: out.softmax(1), F.cross_entropy, LABELS, optimizer=adam(3e-3), steps=600), "mismatched_loss"
    )
    assert finding is not None
    assert finding.severity == "info"


def gather(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Tensor, labels: Tensor) -> None:
    for rank in range(0, 32, 8):
        (F.cross_entropy(model(points[rank : rank + 8]), labels[rank : rank + 8]) / 4).backward()
    optimizer.step()
    optimizer.zero_grad()


def zero_between(step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Tensor, labels: Tensor) -> None:
    F.cross_entropy(model(points), labels).backward()
    optimizer.zero_grad()
    optimizer.step()


def zero_each_epoch(
    step: int, model: nn.Module, optimizer: torch.optim.Optimizer, points: Tensor, labels: Tensor
) -> None:
    if step % 20 == 0:
        optimizer.zero_grad()
    never_zero(step, model, optimizer, points, labels)


def test_takes_gradients_gathered_over_batches_for_what_they_are():
    torch.manual_seed(0)
    model = classifier()
    assert alarms_of(loop(model, torch.optim.SGD(model.parameters(), lr=0.1), gather)) == []


@pytest.mark.parametrize("take", [zero_between, zero_each_epoch])
def test_finds_gradients_that_are_zeroed_at_the_wrong_place(take):
    torch.manual_seed(0)
    model = classifier()
    finding = found_in(loop(model, torch.optim.SGD(model.parameters(), lr=0.1), take), "accumulating")
    assert finding is not None
    assert finding.severity == ("critical" if take is zero_between else "warning")
    assert "optimizer.zero_grad() before loss.backward()" in finding.summary


def test_does_not_take_gradients_that_pile_up_where_no_optimizer_looks_for_a_missing_zero_grad():
    torch.manual_seed(0)
    model = classifier()
    train(model, adam(3e-3), steps=200, overhead=0.001)
    model.output.reset_parameters()
    run = loop(model, torch.optim.Adam(model.output.parameters(), lr=1e-2), zero_first)
    assert alarms_of(run) == []
    left_out = found_in(run, "disconnected")
    assert left_out is not None
    assert left_out.layers == ("hidden.1", "hidden.0")


def test_does_not_alarm_at_two_networks_that_train_against_each_other():
    torch.manual_seed(0)
    maker, judge = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16)), nn.Linear(16, 1)
    making, judging = torch.optim.Adam(maker.parameters(), lr=1e-3), torch.optim.Adam(judge.parameters(), lr=1e-3)
    with watch(nn.ModuleList([maker, judge]), judging, overhead=1.0) as watching:
        for _ in range(60):
            drawn = maker(torch.randn(32, 4))
            judging.zero_grad()
            (judge(drawn.detach()).mean() - judge(POINTS[:32]).mean()).tanh().backward()
            judging.step()
            making.zero_grad()
            (-judge(drawn).mean()).tanh().backward()
            making.step()
    findings = diagnose(watching.run).findings
    assert [f for f in findings if f.condition in {"accumulating", "disconnected"} and f.severity != "info"] == []


def test_finds_drawn_weights_that_no_optimizer_holds():
    torch.manual_seed(0)
    model = classifier()
    held = [*model.hidden[0].parameters(), *model.output.parameters()]
    finding = found_in(loop(model, torch.optim.SGD(held, lr=0.1), zero_first), "disconnected")
    assert finding is not None
    assert (finding.severity, finding.layers) == ("warning", ("hidden.1",))


def test_finds_an_optimizer_of_another_model():
    torch.manual_seed(0)
    run = loop(classifier(), torch.optim.SGD(classifier().parameters(), lr=0.1), zero_first, steps=20)
    diagnosis = diagnose(run)
    assert diagnosis.verdict == "broken"
    assert diagnosis.findings[0].condition == "disconnected"


class Listed(nn.Module):
    """A network whose hidden layers stand in a plain list, which `parameters()` does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.output = [nn.Linear(16, 24), nn.Linear(24, 24)], nn.Linear(24, 10)

    def forward(self, points: Tensor) -> Tensor:
        for layer in self.hidden:
            points = F.relu(layer(points))
        return self.output(points)


def test_finds_layers_in_a_plain_list():
    torch.manual_seed(0)
    model = Listed()
    finding = found_in(loop(model, torch.optim.SGD(model.parameters(), lr=0.1), zero_first), "disconnected")
    assert finding is not None
    assert finding.severity == "warning"
    assert "nn.ModuleList" in finding.summary


class Branched(nn.Module):
    """A network with a layer beside the way to the loss, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.beside, self.unused = classifier(), nn.Linear(10, 10), nn.Linear(3, 3)

    def forward(self, points: Tensor) -> Tensor:
        scores = self.body(points)
        self.beside(scores)
        return scores


def test_does_not_alarm_at_layers_that_the_loss_does_not_need():
    torch.manual_seed(0)
    model = Branched()
    assert alarms_of(loop(model, torch.optim.SGD(model.parameters(), lr=0.1), zero_first)) == []


def test_finds_weights_that_are_zero_everywhere_and_not_those_of_the_last_layer_alone():
    torch.manual_seed(0)
    zeros = draw(Chain(2, nn.ReLU()), nn.init.zeros_)
    assert alarms_of(loop(zeros, torch.optim.SGD(zeros.parameters(), lr=0.1), zero_first)) == ["symmetric"]
    model = classifier()
    nn.init.zeros_(model.output.weight)
    assert alarms_of(loop(model, torch.optim.SGD(model.parameters(), lr=0.1), zero_first)) == []


def test_finds_rectifiers_all_of_whose_units_stay_on_one_side():
    torch.manual_seed(0)
    model = Chain(2, nn.ReLU(), 2)
    for layer in model.hidden:
        nn.init.constant_(layer.bias, 20.0)
    finding = found_in(train(model, adam(1e-3), steps=320, data=bent_data()), "linear")
    assert finding is not None
    assert finding.severity == "critical"


@pytest.mark.slow
def test_does_not_alarm_at_a_linear_network_where_a_line_is_all_that_it_takes():
    torch.manual_seed(0)
    finding = found_in(train(Chain(2, nn.Identity()), adam(3e-3), steps=320), "linear")
    assert finding is not None
    assert finding.severity == "info"


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda: drop(0.5), lambda: decay(5e-4), lambda: scale(1.0, F.relu), lambda: scale(3.0, F.relu)]
)
def test_does_not_alarm_at_usual_dropout_decay_and_inputs(make):
    torch.manual_seed(0)
    assert alarms_of(make()) == []


def test_finds_weight_decay_that_wins_against_the_gradient():
    torch.manual_seed(0)
    finding = found_in(decay(0.3), "over_regularised")
    assert finding is not None
    assert "weight decay of 0.3" in finding.summary


def test_does_not_alarm_at_a_large_input_that_is_normalised_behind_the_first_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Linear(24, 10))
    assert alarms_of(train(model, descent(0.1), steps=200, data=(100.0 * POINTS, LABELS))) == []


@pytest.mark.slow
def test_finds_targets_far_from_unit_scale_and_not_those_that_are_learned():
    torch.manual_seed(0)
    small = train(classifier(1), descent(0.1), steps=200, data=(POINTS, 1e-3 * SUMS[:, None]), loss_fn=F.mse_loss)
    finding = found_in(small, "unscaled_input")
    assert finding is not None
    assert finding.cause.name == "target_scale"
    torch.manual_seed(0)
    prices = (POINTS, 20.0 + 5.0 * SUMS[:, None])
    assert alarms_of(train(classifier(1), adam(1e-2), steps=600, data=prices, loss_fn=F.mse_loss)) == []


def test_finds_no_lost_gradient_where_the_number_format_has_room_for_it():
    torch.manual_seed(0)
    assert found_in(halve(1e8, nn.ReLU(), torch.float32), "underflowing") is None


def test_says_that_a_loss_does_not_depend_on_the_network():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters())
    with watch(model, optimizer, overhead=1.0, dear=()) as watching:
        for _ in range(40):
            points, labels = torch.randn(32, 8), torch.randint(0, 4, (32,))
            optimizer.zero_grad()
            guessed = model(points).argmax(1).float().requires_grad_()
            torch.nn.functional.mse_loss(guessed, labels.float()).backward()
            optimizer.step()
    finding = next(found for found in watching.diagnose().findings if found.condition == "disconnected")
    assert finding.severity == "critical"
    assert "the loss does not depend on it: look for argmax" in finding.summary
