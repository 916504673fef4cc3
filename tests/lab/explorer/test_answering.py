import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from gradiometer.errors import SettingsError
from gradiometer.lab.datasets.digits import load_digits
from gradiometer.lab.explorer.answering import MOST_PAGES, Pages, answer_question, open_pages
from gradiometer.lab.explorer.network import right_answers
from gradiometer.lab.explorer.process import ANSWERS
from gradiometer.lab.explorer.training import Digits, Training, batch_at, begin, digits_of, train_towards
from gradiometer.lab.explorer.units import unit_of
from gradiometer.lab.explorer.weights import weight_of
from gradiometer.measuring.nudges import measure_nudges
from gradiometer.schema.explored import (
    ACTIVATIONS,
    COSTS,
    STARTS,
    ExplorerSettings,
    Question,
    Scene,
    UnitScene,
    WeightScene,
)
from gradiometer.schema.retyping import settle

EXACT = 1e-9
"""Everything is float64; only the order of sums differs."""

EXAMPLE = 5


@pytest.fixture(scope="module")
def digits() -> Digits:
    return digits_of(load_digits())


@pytest.fixture
def pages(digits: Digits) -> Pages:
    return open_pages(digits)


def trained(digits: Digits, steps: int = 20, **settings: object) -> Training:
    training = begin(ExplorerSettings(**settings), digits)
    train_towards(training, steps, seconds=60.0)
    return training


def autograd(training: Training, *, example: int | None = EXAMPLE) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Gradients by the weight and the bias of each layer, as torch alone has them: of a digit, or of the next batch."""
    digits, settings = training.digits, training.network.settings
    if example is None:
        inputs, labels = batch_at(training, training.step)
    else:
        inputs, labels = digits.held_inputs[[example]], digits.held_labels[[example]]
    outputs, right = training.network.model(inputs), torch.eye(10, dtype=torch.float64)[labels]
    costs = {
        "cross_entropy": lambda: -(outputs.log_softmax(1) * right).sum(1),
        "sigmoid_cross_entropy": lambda: (
            -(right * outputs.sigmoid().log() + (1.0 - right) * (-outputs).sigmoid().log()).sum(1)
        ),
        "squared_error": lambda: 0.5 * ((outputs - right) ** 2).sum(1),
    }
    costs[settings.cost]().mean().backward()
    found = [(layer.weight.grad.clone(), layer.bias.grad.clone()) for layer in training.network.linears]
    training.network.model.zero_grad()
    return found


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("activation", ["sigmoid", "relu", "gelu"])
def test_tells_a_weights_gradient_as_a_sum_over_paths_that_is_autograds(
    digits: Digits, activation: str, cost: str
) -> None:
    training = trained(digits, activation=activation, cost=cost, units=6, start="critical")
    gradients, batch = autograd(training), autograd(training, example=None)
    for layer, unit, source in ((1, 2, 20), (2, 4, 3), (3, 7, 1)):
        found = weight_of(training, layer, unit, source, EXAMPLE)
        expected = float(gradients[layer - 1][0][unit, source])
        assert found.gradient == pytest.approx(expected, rel=EXACT)
        assert found.total == pytest.approx(expected, rel=EXACT, abs=1e-18)
        assert sum(path.value for path in found.paths) + found.rest == pytest.approx(found.total, rel=EXACT, abs=1e-18)
        for product in (*found.paths, *([found.by_layers] if found.by_layers else [])):
            assert math.prod(factor.value for factor in product.factors) == pytest.approx(product.value, rel=EXACT)
        if found.by_layers is not None:
            assert found.by_layers.value == pytest.approx(expected, rel=EXACT, abs=1e-18)
        assert found.batch_gradient == pytest.approx(float(batch[layer - 1][0][unit, source]), rel=EXACT)


def test_finds_the_paths_that_nudges_finds_by_a_search_of_its_own(digits: Digits) -> None:
    training = trained(digits, activation="tanh", units=5, hidden_layers=3)
    asked = measure_nudges(
        training.network.model,
        torch.nn.functional.cross_entropy,
        digits.held_inputs[[EXAMPLE]],
        digits.held_labels[[EXAMPLE]],
    )
    expected = asked.path("0.weight", (3, 20), most_paths=5)
    found = weight_of(training, 1, 3, 20, EXAMPLE)
    assert found.path_count == expected.path_count == 5 * 5 * 10
    assert [path.value for path in found.paths] == pytest.approx([path.product for path in expected.paths], rel=EXACT)
    for path, other in zip(found.paths, expected.paths, strict=True):
        values = [factor.value for factor in path.factors]
        assert values == pytest.approx([term.value for term in other.terms], rel=EXACT)


@pytest.mark.parametrize("cost", COSTS)
def test_tells_what_a_digit_asks_of_a_unit_by_three_ways(digits: Digits, cost: str) -> None:
    training = trained(digits, activation="sigmoid", cost=cost, units=7, start="glorot")
    gradients, batch = autograd(training), autograd(training, example=None)
    for layer, unit in ((1, 3), (2, 6), (3, 0)):
        found = unit_of(training, layer, unit, EXAMPLE)
        weight, bias = (gradient[unit] for gradient in gradients[layer - 1])
        assert -found.wanted_pre == pytest.approx(float(bias), rel=EXACT)
        assert found.wanted * found.slope == pytest.approx(found.wanted_pre, rel=EXACT)
        assert np.allclose(found.wanted_weights, -weight.numpy(), rtol=EXACT, atol=0.0)
        assert np.allclose(found.wanted_weights, found.wanted_pre * np.array(found.below), rtol=EXACT, atol=0.0)
        assert np.allclose(found.wanted_below, found.wanted_pre * np.array(found.weights), rtol=EXACT, atol=0.0)
        assert found.batch_bias == pytest.approx(-float(batch[layer - 1][1][unit]), rel=EXACT)
        assert np.allclose(found.batch_weights, -batch[layer - 1][0][unit].numpy(), rtol=EXACT, atol=1e-18)
        if layer < 3:
            assert sum(ask.weight * ask.wanted for ask in found.asked_by) == pytest.approx(found.wanted, rel=EXACT)


def test_hands_the_asks_of_all_units_back_to_the_layer_below(digits: Digits) -> None:
    training = trained(digits, units=7)
    asked = [unit_of(training, 3, unit, EXAMPLE).wanted_below for unit in range(10)]
    below = [unit_of(training, 2, unit, EXAMPLE).wanted for unit in range(7)]
    assert np.allclose(np.sum(asked, axis=0), below, rtol=EXACT, atol=1e-18)


def test_averages_what_classes_ask_to_the_step_that_is_taken(digits: Digits) -> None:
    training = trained(digits, units=7, batch_size=40)
    found = unit_of(training, 2, 3, EXAMPLE)
    *classes, average = found.classes
    assert sum(one.count for one in classes) == average.count == 40
    for column, source in enumerate(found.shown):
        whole = sum(one.count * one.weights[column] for one in classes if one.count)
        assert whole / average.count == pytest.approx(average.weights[column], rel=EXACT, abs=1e-15)
        assert average.weights[column] == pytest.approx(found.batch_weights[source], rel=EXACT, abs=1e-15)


def test_foretells_the_weight_that_the_next_step_leaves(digits: Digits) -> None:
    training = trained(digits)
    foretold = weight_of(training, 3, 7, None, EXAMPLE)
    train_towards(training, training.step + 1)
    assert training.network.linears[2].weight[7, foretold.source].item() == pytest.approx(foretold.new_value, rel=1e-14)
    assert foretold.new_value != foretold.value


def test_walks_forward_to_the_output_and_back_to_the_weight(digits: Digits) -> None:
    training = trained(digits, activation="tanh", hidden_layers=3, units=6)
    found = weight_of(training, 2, 4, 1, EXAMPLE)
    walk = found.walk
    assert [(step.phase, step.layer) for step in walk] == [
        *(("forward", layer) for layer in (1, 2, 3, 4)),
        ("error", 4),
        ("backward", 3),
        ("backward", 2),
        ("update", 2),
    ]
    for step in walk:
        if step.phase in {"forward", "backward"}:
            products = sum(left * right for _, left, right in step.terms) + step.rest
            assert products + step.constant == pytest.approx(step.total, rel=EXACT, abs=1e-15)
    activation, error = walk[0].result, walk[-2].result
    assert activation * error == pytest.approx(found.gradient, rel=EXACT)
    assert walk[-1].constant - walk[-1].slope * walk[-1].total == pytest.approx(walk[-1].result)


@pytest.mark.parametrize("cost", COSTS)
def test_wants_outputs_moved_in_proportion_to_their_error(pages: Pages, cost: str) -> None:
    scene = answer_question(
        pages, Question("a", "scene", ExplorerSettings(cost=cost, activation="sigmoid"), 20, EXAMPLE)
    )
    assert isinstance(scene, Scene)
    output = scene.layers[-1]
    right = right_answers(torch.zeros(1, 10), torch.tensor([scene.label]))[0].numpy()
    assert np.allclose(output.wanted, right - np.array(output.activations), rtol=1e-9, atol=1e-12)
    assert output.wanted[scene.label] > 0.0 > max(w for label, w in enumerate(output.wanted) if label != scene.label)


def test_lists_the_weights_on_which_the_cost_depends_most(pages: Pages) -> None:
    scene = answer_question(pages, Question("a", "scene", ExplorerSettings(), 20, EXAMPLE))
    assert isinstance(scene, Scene)
    gradients = autograd(pages.kept["a"].training)
    sizes = torch.cat([part.abs().flatten() for pair in gradients for part in pair])
    assert [abs(one.gradient) for one in scene.sensitive] == pytest.approx(sizes.sort(descending=True)[0][:8].tolist())
    others = np.sort(sizes[sizes > 0.0].numpy())
    assert scene.median_gradient == pytest.approx(others[(len(others) - 1) // 2])
    assert scene.zero_share == pytest.approx(float((sizes == 0.0).double().mean()))
    assert scene.sensitive[0].times_median == pytest.approx(float(sizes.max()) / scene.median_gradient)


def test_shows_ten_sigmoid_layers_starve_as_theory_expects_and_critical_weights_feed_them(digits: Digits) -> None:
    starved = begin(ExplorerSettings("sigmoid", 10, 16, "torch"), digits).looks[0].ladder
    fed = begin(ExplorerSettings("sigmoid", 10, 16, "critical"), digits).looks[0].ladder
    assert [rung.layer for rung in starved] == list(range(11, 0, -1))
    assert starved[-1].level_db < -150.0
    assert starved[-1].level_db == pytest.approx(starved[-1].expected_db, abs=6.0)
    assert fed[-1].level_db > -30.0


@pytest.mark.parametrize("start", [pytest.param(start, marks=pytest.mark.slow) for start in STARTS[:-1]] + [STARTS[-1]])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_answers_for_every_activation_and_start(pages: Pages, activation: str, start: str) -> None:
    settings = ExplorerSettings(activation=activation, start=start, hidden_layers=3)
    for kind in ("scene", "unit", "weight"):
        answer = answer_question(pages, Question("a", kind, settings, 2, EXAMPLE, layer=2))
        again = settle(ANSWERS[kind], json.loads(json.dumps(asdict(answer))))
        assert json.dumps(asdict(again)) == json.dumps(asdict(answer))


def test_tells_of_a_training_that_came_apart(pages: Pages) -> None:
    settings = ExplorerSettings(hidden_layers=10, start="too_large", learning_rate=10.0)
    scene = answer_question(pages, Question("a", "scene", settings, 50))
    assert isinstance(scene, Scene)
    assert scene.course.is_diverged
    assert scene.course.step < 50
    assert isinstance(answer_question(pages, Question("a", "unit", settings, 50)), UnitScene)
    assert isinstance(answer_question(pages, Question("a", "weight", settings, 50)), WeightScene)


def test_begins_anew_for_other_settings_and_remembers_the_course_before(pages: Pages) -> None:
    first = answer_question(pages, Question("a", "scene", ExplorerSettings(), 3))
    second = answer_question(pages, Question("a", "scene", ExplorerSettings(activation="sigmoid"), 0))
    assert isinstance(first, Scene)
    assert isinstance(second, Scene)
    assert first.earlier is None
    assert second.earlier == first.course
    assert second.course.step == 0


def test_gives_the_same_network_for_the_same_settings_and_steps(pages: Pages) -> None:
    question = Question("a", "scene", ExplorerSettings(), 7, EXAMPLE)
    first = answer_question(pages, question)
    answer_question(pages, replace(question, step=9))
    assert asdict(answer_question(pages, question)) == asdict(first)
    other = answer_question(pages, replace(question, page="b"))
    assert isinstance(other, Scene)
    assert other.layers == first.layers


def test_has_no_hidden_layer_where_none_is_asked_for(pages: Pages) -> None:
    question = Question("a", "scene", ExplorerSettings(hidden_layers=0), 10, EXAMPLE)
    scene = answer_question(pages, question)
    assert isinstance(scene, Scene)
    assert len(scene.layers) == len(scene.course.ladder) == 1
    weight = answer_question(pages, replace(question, kind="weight", unit=4))
    assert isinstance(weight, WeightScene)
    assert weight.path_count == 1
    assert weight.total == pytest.approx(weight.gradient, rel=EXACT)


def test_keeps_only_so_many_pages(pages: Pages) -> None:
    for page in range(MOST_PAGES + 3):
        answer_question(pages, Question(str(page), "unit", ExplorerSettings()))
    assert list(pages.kept) == [str(page) for page in range(3, MOST_PAGES + 3)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"example": 100_000}, "no such example"),
        ({"example": -1}, "no such example"),
        ({"layer": 4}, "no such layer"),
        ({"layer": 0}, "no such layer"),
        ({"unit": 16}, "no such unit"),
        ({"layer": 3, "unit": 10}, "no such unit"),
        ({"source": 64}, "no such source"),
        ({"step": -1}, "fewer than 0 steps"),
        ({"settings": ExplorerSettings(activation="softmax")}, "no activation 'softmax'"),
        ({"settings": ExplorerSettings(hidden_layers=11)}, "from 0 to 10"),
        ({"settings": ExplorerSettings(learning_rate=math.nan)}, "learning rate"),
    ],
)
def test_says_what_there_is_not(pages: Pages, change: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        answer_question(pages, replace(Question("a", "weight", ExplorerSettings()), **change))


@pytest.mark.parametrize("sent", [{}, [], {"page": 3}, {"page": "a", "kind": "delete"}, {"path": "/etc/passwd"}])
def test_takes_no_question_that_is_none(sent: object) -> None:
    with pytest.raises(SettingsError):
        settle(Question, sent)


@pytest.mark.slow
def test_has_the_same_numbers_on_mnist(mnist) -> None:
    training = trained(digits_of(mnist), activation="sigmoid", start="glorot", hidden_layers=10, units=100)
    found = weight_of(training, 1, 3, 350, EXAMPLE)
    assert found.gradient == pytest.approx(float(autograd(training)[0][0][3, 350]), rel=EXACT)
    assert found.total == pytest.approx(found.gradient, rel=EXACT, abs=1e-30)
    assert found.path_count in {0, 100**9 * 10}
