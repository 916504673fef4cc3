"""Experiment `faces`: its toy run, and the mathematics of its measures against other ways of computing them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.faces import pages
from gradiometer.lab.experiments.faces.experiment import ROWS, conduct, greatest_gap_db
from gradiometer.lab.experiments.faces.features import (
    NORM,
    exciting_patches,
    field_of,
    optimised_inputs,
    preferring_units,
    selectivity,
    similarities_to_start,
    total_variation,
    turned_parts,
    turned_shares,
)
from gradiometer.lab.experiments.faces.folds import (
    FOLDS,
    Pictures,
    Training,
    area_under_curve,
    best_threshold_accuracy,
    descend,
    held_out_in,
    take_pictures,
    train_by_adam,
    wilson_interval,
)
from gradiometer.lab.networks.face_network import draw_face_network, filters_of, responses, weight_of
from gradiometer.recording.reader import read_run
from gradiometer.schema import ExperimentReport


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return take_pictures()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ExperimentReport:
    return conduct(Bench(tmp_path_factory.mktemp("faces"), size="toy"))


def training_of(making: str, seed: int = 0) -> Training:
    network = draw_face_network(making, seed).eval()
    return Training(seed, network, filters_of(network), held_out_in(0, 200), torch.zeros(50), (), None)


def test_fills_every_row_and_section_of_a_toy_run(report: ExperimentReport) -> None:
    assert len(report.rows) == len(ROWS)
    assert all(row.measured is not None for row in report.rows)
    assert all(section.parts for section in report.sections)
    exact = [row for row in report.rows if row.name in {ROWS["slope"].name, ROWS["sum"].name, ROWS["guessing"].name}]
    assert [row.verdict for row in exact] == ["within"] * 3


def test_writes_a_run_file_of_each_network(report: ExperimentReport) -> None:
    assert [Path(path).stem for path in report.run_files] == ["faces-healthy", "faces-starved", "faces-mended"]
    runs = [read_run(Path(path)) for path in report.run_files]
    assert all(run.step_count == 12 for run in runs)
    healthy, starved = (pages.first_levels(run)[0] for run in runs[:2])
    assert starved < -60.0 < healthy
    assert max(greatest_gap_db(run) for run in runs) < 1e-6


def test_measures_the_same_when_it_is_conducted_again(report: ExperimentReport, tmp_path: Path) -> None:
    again = conduct(Bench(tmp_path, size="toy"))
    assert [row.measured for row in again.rows] == [row.measured for row in report.rows]
    assert again.summary == report.summary


def test_holds_every_picture_out_once_and_faces_as_often_as_others(pictures: Pictures) -> None:
    folds = [held_out_in(fold, 200) for fold in range(FOLDS)]
    assert sorted(torch.cat(folds).tolist()) == list(range(200))
    assert [int(pictures.labels[fold].sum()) for fold in folds] == [25] * FOLDS
    assert float(pictures.labels.sum()) == 100.0


def test_knows_the_area_under_the_curve() -> None:
    from scipy.stats import mannwhitneyu

    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 60).astype(float)
    scores = np.round(draw.standard_normal(60) + labels, 1)
    faces, others = scores[labels > 0.5], scores[labels <= 0.5]
    expected = mannwhitneyu(faces, others).statistic / (len(faces) * len(others))
    assert area_under_curve(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_knows_wilsons_interval() -> None:
    from scipy.stats import binomtest

    expected = binomtest(47, 50).proportion_ci(method="wilson")
    assert wilson_interval(0.94, 50) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_tells_how_far_brightness_alone_goes(pictures: Pictures) -> None:
    labels = pictures.labels.numpy()
    found = best_threshold_accuracy(pictures.brightness, labels)
    cuts = np.linspace(0.0, 1.0, 2001)
    assert found == pytest.approx(max(((pictures.brightness > cut) == (labels > 0.5)).mean() for cut in cuts), abs=0.01)
    assert found == best_threshold_accuracy(-pictures.brightness, labels)


def test_finds_a_linear_unit_s_own_filter_as_its_best_input() -> None:
    network = draw_face_network("healthy", 0).eval()
    made = optimised_inputs(network, "conv1", [2], steps=300, smoothing=0.0)[0, 0]
    expected = torch.zeros(25, 25)
    expected[9:16, 9:16] = weight_of(network, "conv1")[2, 0]
    cosine = torch.nn.functional.cosine_similarity(made.flatten(), expected.flatten(), dim=0)
    assert float(cosine) > 0.999
    assert float(made.norm()) == pytest.approx(NORM, rel=1e-5)


def test_raises_a_late_unit_above_what_any_picture_does(pictures: Pictures) -> None:
    network = draw_face_network("healthy", 0).eval()
    made = optimised_inputs(network, "conv5", [0, 1], steps=60, smoothing=0.0)
    with torch.no_grad():
        reached = responses(network, made, "conv5")[[0, 1], [0, 1], 3, 3]
        seen = responses(network, pictures.inputs, "conv5")[:, :2, 3, 3].amax(dim=0)
    assert bool((reached > seen).all())


def test_knows_the_total_variation() -> None:
    picture = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert total_variation(picture).tolist() == [3.0 + 2.0 + 1.0 + 0.0]


@pytest.mark.parametrize("layer", ["conv1", "conv3", "conv5"])
def test_cuts_out_all_that_a_unit_sees_and_nothing_else(layer: str, pictures: Pictures) -> None:
    network = draw_face_network("healthy", 0).eval()
    field, jump = field_of(layer)
    picture = pictures.inputs[:1].clone().requires_grad_()
    answered = responses(network, picture, layer)
    middle = answered.shape[2] // 2
    (reached,) = torch.autograd.grad(answered[0, :, middle, middle].sum(), picture)
    rows = torch.nonzero(reached[0, 0].abs().sum(dim=1))[:, 0]
    centre = middle * jump
    assert int(rows.min()) >= centre - field // 2
    assert int(rows.max()) <= centre + field // 2
    assert int(rows.max() - rows.min()) + 1 >= min(field, 25) - 2


def test_shows_the_patches_that_a_first_unit_responds_to_most(pictures: Pictures) -> None:
    network = draw_face_network("healthy", 0).eval()
    (found,) = exciting_patches(network, pictures, "conv1", [3], 5)
    filters = weight_of(network, "conv1")[3, 0].double().numpy()
    with torch.no_grad():
        greatest = responses(network, pictures.inputs, "conv1")[:, 3].flatten(1).amax(dim=1).sort(descending=True)
    reached = [float((patch * filters).sum()) for patch in found.patches]
    assert reached == pytest.approx(greatest.values[:5].tolist(), abs=1e-4)
    assert found.face_share == pytest.approx(float(pictures.labels[greatest.indices[:5]].mean()))


def test_calls_an_untrained_network_unturned_and_a_shortened_one_too() -> None:
    training = training_of("healthy")
    with torch.no_grad():
        training.network.get_parameter("conv2.weight").mul_(0.5)
    assert max(turned_shares(training).values()) < 1e-6
    assert min(similarities_to_start(training).values()) == pytest.approx(1.0, abs=1e-6)


def test_measures_the_sine_of_the_angle_that_filters_turned_by() -> None:
    training = training_of("healthy")
    start = training.start["conv2"]
    sideways = torch.zeros_like(start).flatten()
    sideways[0], sideways[1] = start.flatten()[1], -start.flatten()[0]
    sideways = sideways.reshape(start.shape) * (start.norm() / sideways.norm())
    with torch.no_grad():
        training.network.get_parameter("conv2.weight").add_(sideways)
    assert turned_shares(training)["conv2"] == pytest.approx(math.sqrt(0.5), rel=1e-5)
    assert torch.allclose(turned_parts(training)["conv2"].float(), sideways, atol=1e-5)


def test_turns_a_starved_network_s_first_filters_by_adam_alone(pictures: Pictures) -> None:
    by_adam = train_by_adam(pictures, 2)
    plain = draw_face_network("starved", 0)
    start = filters_of(plain)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9)
    descend(plain, optimizer, pictures, by_adam.held_out, torch.Generator().manual_seed(0), 2)
    by_descent = Training(0, plain, start, by_adam.held_out, by_adam.logits, (), None)
    assert all(torch.equal(start[name], drawn) for name, drawn in by_adam.start.items())
    assert turned_shares(by_adam)["conv1"] > 100.0 * turned_shares(by_descent)["conv1"]


def test_finds_units_that_prefer_faces_first(pictures: Pictures) -> None:
    network = draw_face_network("starved", 0).eval()
    units = preferring_units(network, pictures, "conv1", 4)
    labels = pictures.labels.numpy()
    with torch.no_grad():
        means = responses(network, pictures.inputs, "conv1").mean(dim=(2, 3)).numpy()
    areas = [area_under_curve(means[:, unit], labels) for unit in range(8)]
    assert {areas[unit] for unit in units[:2]} == set(sorted(areas)[-2:])
    assert {areas[unit] for unit in units[2:]} == set(sorted(areas)[:2])


def test_calls_a_unit_selective_that_tells_faces_either_way(pictures: Pictures) -> None:
    network = draw_face_network("healthy", 0).eval()
    held_out = torch.arange(200)
    before = selectivity(network, pictures, held_out)["answer"]
    with torch.no_grad():
        network.get_parameter("answer.weight").neg_()
    assert selectivity(network, pictures, held_out)["answer"] == pytest.approx(before, abs=1e-9)
    assert 0.5 <= before <= 1.0


@pytest.mark.slow
def test_meets_every_row_in_a_quick_run(tmp_path: Path) -> None:
    report = conduct(Bench(tmp_path, size="quick"))
    assert not report.missed, report.missed
    assert all(row.measured is not None for row in report.rows)
