"""What is read of a loss: its kind, its targets, the best constant guess, against guesses found by optimisation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gradiometer
from measuring.loss_material import CLASSES, EXAMPLES, FEATURES, LossFunction, drawn, trained
from measuring.networks import seeded


def best_guess_loss(loss_of: LossFunction, targets: Tensor, out_count: int = CLASSES) -> float:
    """The least loss over all constant outputs, found by descent."""
    targets = targets.double() if targets.is_floating_point() else targets
    guess = torch.full((out_count,), 0.1, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([guess], max_iter=400, tolerance_grad=1e-12, tolerance_change=1e-15, history_size=50)

    def loss_there() -> Tensor:
        descent.zero_grad()
        loss = loss_of(guess.expand(EXAMPLES, out_count), targets)
        loss.backward()
        # Of a loss with a graph torch 2.8 warns: LBFGS there makes a number of it as it is.
        return loss.detach()

    for _ in range(5):
        descent.step(loss_there)
    return float(loss_there())


CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0])


def weighted(values: Tensor, outputs: Tensor) -> Tensor:
    return values.to(outputs.dtype)


CASES: dict[str, tuple[LossFunction, str, str, str, list[str]]] = {
    "classes": (F.cross_entropy, "classes", "cross_entropy", "mean", ["NllLoss", "LogSoftmax", "Addmm"]),
    "summed classes": (
        lambda y, t: F.cross_entropy(y, t, reduction="sum"),
        *("classes", "cross_entropy", "sum", ["NllLoss", "LogSoftmax", "Addmm"]),
    ),
    "classes averaged by hand": (
        lambda y, t: F.cross_entropy(y, t, reduction="none").mean(),
        *("classes", "cross_entropy", "mean", ["Mean", "NllLoss", "LogSoftmax", "Addmm"]),
    ),
    "classes behind a second softmax": (
        lambda y, t: F.cross_entropy(y.softmax(1), t),
        *("classes", "cross_entropy", "mean", ["NllLoss", "LogSoftmax", "Softmax", "Addmm"]),
    ),
    "classes with weights": (
        lambda y, t: F.cross_entropy(y, t, weight=weighted(CLASS_WEIGHTS, y)),
        *("classes", "cross_entropy", "mean", ["NllLoss", "LogSoftmax", "Addmm"]),
    ),
    "smoothed classes": (
        lambda y, t: F.cross_entropy(y, t, label_smoothing=0.2),
        *("classes", "cross_entropy", "mean", ["Add", "Mul", "NllLoss", "LogSoftmax", "Addmm"]),
    ),
    "smoothed classes with weights": (
        lambda y, t: F.cross_entropy(y, t, weight=weighted(CLASS_WEIGHTS, y), label_smoothing=0.2),
        *("classes", "cross_entropy", "mean", ["Add", "Mul", "NllLoss", "LogSoftmax", "Addmm"]),
    ),
    "probabilities": (
        F.cross_entropy,
        *("probabilities", "cross_entropy", "mean", ["Div", "Neg", "Sum", "Mul", "LogSoftmax", "Addmm"]),
    ),
    "probabilities by hand": (
        lambda y, t: -(t * y.log_softmax(1)).sum(1).mean(),
        *("probabilities", "cross_entropy", "mean", ["Neg", "Mean", "Sum", "Mul", "LogSoftmax", "Addmm"]),
    ),
    "divergence": (
        lambda y, t: F.kl_div(y.log_softmax(1), t, reduction="batchmean"),
        *("probabilities", "kl_divergence", "mean", ["Div", "Sum", "Sub", "Mul", "LogSoftmax", "Addmm"]),
    ),
    "squares": (F.mse_loss, "numbers", "squared_error", "mean", ["MseLoss", "Addmm"]),
    "summed squares": (
        lambda y, t: F.mse_loss(y, t, reduction="sum"),
        *("numbers", "squared_error", "sum", ["MseLoss", "Addmm"]),
    ),
    "squares by hand": (
        lambda y, t: ((y - t) ** 2).mean(),
        *("numbers", "squared_error", "mean", ["Mean", "Pow", "Sub", "Addmm"]),
    ),
    "halved squares by hand the other way round": (
        lambda y, t: 0.5 * (t - y).square().sum(1).mean(),
        *("numbers", "squared_error", "mean", ["Mul", "Mean", "Sum", "Pow", "Sub", "Addmm"]),
    ),
    "product of differences": (
        lambda y, t: ((d := y - t) * d).mean(),
        *("numbers", "squared_error", "mean", ["Mean", "Mul", "Sub", "Addmm"]),
    ),
    "sides": (
        F.binary_cross_entropy_with_logits,
        *("sides", "binary_cross_entropy_with_logits", "mean", ["BinaryCrossEntropyWithLogits", "Addmm"]),
    ),
    "weighted sides": (
        lambda y, t: F.binary_cross_entropy_with_logits(y, t, pos_weight=weighted(CLASS_WEIGHTS, y)),
        *("sides", "binary_cross_entropy_with_logits", "mean", ["BinaryCrossEntropyWithLogits", "Addmm"]),
    ),
    "sides behind a sigmoid": (
        lambda y, t: F.binary_cross_entropy(y.sigmoid(), t),
        *("sides", "binary_cross_entropy", "mean", ["BinaryCrossEntropy", "Sigmoid", "Addmm"]),
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_knows_a_loss_and_what_the_best_constant_guess_loses(name: str) -> None:
    loss_of, target_kind, kind, reduction, operations = CASES[name]
    targets = drawn(target_kind)
    run = trained(loss_of, [targets])
    told = run.facts["loss_path"]
    assert (told["loss"], told["reduction"], told["operations"]) == (kind, reduction, operations)
    assert told["site"].startswith("loss_material.py:") or "/loss_material.py:" in told["site"]
    assert told["output_shape"] == [EXAMPLES, CLASSES]
    assert told["target_shape"] == list(targets.shape)
    assert told["target_kind"] == ("probabilities" if target_kind == "sides" else target_kind)
    if name == "classes behind a second softmax":
        # What the layers put out is not the constant here, but what comes out of the first softmax.
        loss_of = F.cross_entropy
    found = run.snapshot_columns["constant_loss"][0]
    assert found == pytest.approx(best_guess_loss(loss_of, targets), rel=1e-5)


def test_knows_the_absolute_error_and_the_loss_of_the_median() -> None:
    targets = drawn("numbers")
    expected = np.abs(targets.numpy() - np.median(targets.numpy(), axis=0)).mean()
    for loss_of in (F.l1_loss, lambda y, t: (t - y).abs().mean()):
        run = trained(loss_of, [targets])
        assert run.facts["loss_path"]["loss"] == "absolute_error"
        assert run.snapshot_columns["constant_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss_of", [F.smooth_l1_loss, F.huber_loss])
def test_tells_targets_of_a_smooth_absolute_error_and_no_constant_guess(loss_of: LossFunction) -> None:
    targets = drawn("numbers")
    run = trained(loss_of, [targets])
    assert run.facts["loss_path"]["loss"] == "smooth_absolute_error"
    assert run.snapshot_columns["target_mean"][0] == pytest.approx(float(targets.mean()), rel=1e-5)
    assert np.isnan(run.snapshot_columns["constant_loss"][0])


@pytest.mark.parametrize("kind", ["classes", "probabilities", "numbers"])
def test_measures_the_size_of_targets(kind: str) -> None:
    targets = drawn(kind)
    run = trained(F.mse_loss if kind == "numbers" else F.cross_entropy, [targets])
    counted = (targets[targets >= 0] if kind == "classes" else targets).double()
    found = {name: run.snapshot_columns[f"target_{name}"][0] for name in ("mean", "rms", "greatest")}
    expected = {
        "mean": float(counted.mean()),
        "rms": float(counted.square().mean().sqrt()),
        "greatest": float(counted.abs().max()),
    }
    assert found == pytest.approx(expected, rel=1e-5)


def test_counts_right_classes_without_those_that_are_ignored() -> None:
    targets = drawn("classes")
    outputs: list[Tensor] = []

    def noting(output: Tensor, expected: Tensor) -> Tensor:
        outputs.append(output.detach())
        return F.cross_entropy(output, expected)

    run = trained(noting, [targets])
    counted = targets >= 0
    expected = float((outputs[0].argmax(1) == targets)[counted].float().mean())
    assert run.snapshot_columns["batch_accuracy"][0] == pytest.approx(expected)


def test_counts_outputs_on_the_side_of_their_targets() -> None:
    targets = drawn("sides")
    outputs: list[Tensor] = []

    def noting(output: Tensor, expected: Tensor) -> Tensor:
        outputs.append(output.detach())
        return F.binary_cross_entropy_with_logits(output, expected)

    run = trained(noting, [targets])
    assert run.snapshot_columns["batch_accuracy"][0] == pytest.approx(
        float(((outputs[0] > 0) == (targets > 0.5)).float().mean())
    )


def test_guesses_from_all_targets_so_far() -> None:
    first, second = torch.zeros(EXAMPLES, dtype=torch.long), torch.ones(EXAMPLES, dtype=torch.long)
    found = trained(F.cross_entropy, [first, second]).snapshot_columns["constant_loss"]
    assert found.tolist() == pytest.approx([0.0, np.log(2.0)])


def test_scales_the_guess_as_the_script_scales_its_loss() -> None:
    targets = drawn("classes")
    alone = trained(F.cross_entropy, [targets]).snapshot_columns["constant_loss"][0]
    scaled = trained(lambda y, t: 0.5 * (F.cross_entropy(y, t) / 4), [targets]).snapshot_columns["constant_loss"][0]
    assert scaled == pytest.approx(alone / 8, rel=1e-6)


@pytest.mark.parametrize(
    "loss_of",
    [F.mse_loss, lambda y, t: ((y - t) ** 2).mean(), lambda y, t: (t - y).abs().mean()],
    ids=["mse_loss", "squares by hand", "absolute by hand"],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_tells_shapes_before_a_broadcast(loss_of: LossFunction) -> None:
    with seeded(3):
        targets = torch.randn(EXAMPLES)
    run = trained(loss_of, [targets], out_count=1)
    told = run.facts["loss_path"]
    assert (told["output_shape"], told["target_shape"]) == ([EXAMPLES, 1], [EXAMPLES])
    assert run.snapshot_columns["target_rms"][0] == pytest.approx(float(targets.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda y, t: F.cross_entropy(y, t) + F.cross_entropy(2 * y, t),
        lambda y, t: y.logsumexp(1).mean(),
        lambda y, t: y.square().sum(),
    ],
    ids=["two criteria", "none that is known", "a square of no difference"],
)
def test_says_nothing_of_a_loss_that_it_does_not_know(loss_of: LossFunction) -> None:
    run = trained(loss_of, [drawn("classes")] * 2)
    told = run.facts["loss_path"]
    assert (told["loss"], told["target_kind"], told["target_shape"]) == (None, None, None)
    assert told["operations"][-1] == "Addmm"
    for name in ("target_mean", "constant_loss", "batch_accuracy"):
        assert np.isnan(run.snapshot_columns[name]).all(), name


def test_gives_no_constant_guess_for_a_loss_with_a_second_term() -> None:
    run = trained(lambda y, t: F.cross_entropy(y, t) + 0.01 * y.square().mean(), [drawn("classes")])
    assert run.facts["loss_path"]["loss"] == "cross_entropy"
    assert np.isfinite(run.snapshot_columns["target_mean"][0])
    assert np.isnan(run.snapshot_columns["constant_loss"][0])


def test_does_not_run_what_a_checkpoint_would_compute_again() -> None:
    runs: list[int] = []

    def inner(output: Tensor, expected: Tensor) -> Tensor:
        runs.append(1)
        return F.cross_entropy(output, expected)

    run = trained(lambda y, t: checkpoint(inner, y, t, use_reentrant=False), [drawn("classes")] * 3)
    assert len(runs) == 6, "once forward and once in each of three backward passes"
    assert run.facts["loss_path"]["operations"] == ["NllLoss", "LogSoftmax", "Addmm"]
    assert np.isnan(run.snapshot_columns["constant_loss"]).all()


def test_joins_the_passes_of_an_accumulated_step() -> None:
    targets = drawn("classes").clamp_min(0)
    with seeded(5):
        model = nn.Linear(FEATURES, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for part in targets.chunk(4):
            (F.cross_entropy(model(torch.ones(len(part), FEATURES)), part) / 4).backward()
        optimizer.step()
    columns = watching.run.snapshot_columns
    assert columns["target_mean"][0] == pytest.approx(float(targets.double().mean()))
    assert columns["target_rms"][0] == pytest.approx(float(targets.double().square().mean().sqrt()))
    assert columns["stale_gradient_norm"][0] == 0.0


def test_measures_gradients_left_from_the_step_before() -> None:
    with seeded(5):
        model = nn.Linear(FEATURES, CLASSES)
        inputs, targets = torch.randn(EXAMPLES, FEATURES), torch.randn(EXAMPLES, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    left: list[float] = []
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        for step in range(4):
            if step == 3:
                optimizer.zero_grad(set_to_none=False)
            grads = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
            left.append(float(torch.cat([grad.flatten() for grad in grads]).norm()) if grads else 0.0)
            F.mse_loss(model(inputs), targets).backward()
            optimizer.step()
    assert left[0] == left[3] == 0.0 < left[1] < left[2]
    assert watching.run.snapshot_columns["stale_gradient_norm"].tolist() == pytest.approx(left, rel=1e-5)


def test_tells_optimizers_and_what_they_do_to_each_parameter() -> None:
    model = nn.Sequential(nn.Linear(FEATURES, 8), nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(
        [
            {"params": model[0].parameters(), "weight_decay": 0.25},
            {"params": [model[1].weight], "weight_decay": 0.0},
        ],
        lr=0.01,
    )
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        model(torch.ones(2, FEATURES)).sum().backward()
        optimizer.step()
    run = watching.run
    assert [one.optimizer for one in run.parameters] == ["AdamW", "AdamW", "AdamW", None]
    assert run.parameter_columns["weight_decay"][0].tolist() == pytest.approx([0.25, 0.25, 0.0, np.nan], nan_ok=True)
    (told,) = run.facts["optimizers"]
    assert (told["kind"], told["parameter_count"]) == ("AdamW", 3)
    assert told["settings"]["betas"] == [0.9, 0.999]
    assert told["settings"]["weight_decay"] == 0.25


def test_reads_a_loss_as_it_was_before_a_scaler_multiplied_it() -> None:
    targets = drawn("classes")
    with seeded(5):
        model = nn.Linear(FEATURES, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    with gradiometer.watch(model, optimizer, overhead=1.0) as watching:
        scaler.scale(F.cross_entropy(model(torch.ones(EXAMPLES, FEATURES)), targets)).backward()
        scaler.step(optimizer)
        scaler.update()
    run = watching.run
    assert run.facts["loss_path"]["operations"] == ["NllLoss", "LogSoftmax", "Addmm"]
    expected = best_guess_loss(F.cross_entropy, targets)
    assert run.snapshot_columns["constant_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert run.snapshot_columns["loss"][0] >= expected


@pytest.mark.parametrize("is_by_hand", [False, True])
def test_leaves_every_bit_of_a_training_as_it_is(is_by_hand: bool) -> None:  # noqa: FBT001
    targets = drawn("numbers")

    def weights(*, is_watched: bool) -> list[Tensor]:
        with seeded(9):
            model = nn.Sequential(nn.Linear(FEATURES, 8), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Linear(8, CLASSES))
            optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
            watching = gradiometer.watch(model, optimizer, overhead=1.0)
            if is_watched:
                watching.start()
            for step in range(12):
                if step % 3 == 0:
                    optimizer.zero_grad(set_to_none=False)
                output = model(torch.randn(EXAMPLES, FEATURES))
                loss = ((output - targets) ** 2).mean() if is_by_hand else F.mse_loss(output, targets)
                loss.backward()
                optimizer.step()
            if is_watched:
                watching.stop()
                assert np.isfinite(watching.run.snapshot_columns["constant_loss"]).all()
            return [*(parameter.detach() for parameter in model.parameters()), torch.rand(3)]

    for alone, watched in zip(weights(is_watched=False), weights(is_watched=True), strict=True):
        assert torch.equal(alone, watched)
