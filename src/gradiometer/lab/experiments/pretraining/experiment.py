"""Learn layer by layer first: Boltzmann machines, deep belief nets, stacks of autoencoders; and what does as well.

What it shows:
    Until 2006 networks of many sigmoid layers could not be trained: the gradient of their first layers was next to
    nothing. The way out was to learn layers one after the other without labels, each from what the one below gives,
    and only then to train the whole. Networks of 1, 3, 5 and 7 hidden layers are begun by chance, from Boltzmann
    machines and from autoencoders, and trained alike; a deep autoencoder likewise, beside principal components.

What is to be learned:
    That pretraining cures the disease, and that it is one cure of several: first weights of the right size do almost as
    well, ReLU does better, and both are free.

Settings:
    In full: 10,000 pictures of MNIST to learn from and 10,000 to be judged by, layers of 100, plain descent at 0.1,
    batches of 50, 20 epochs; what is drawn draws its output layer too, what is learned begins with one of zeros.
    Machines by CD-1, five passes a layer at a rate of 0.1.

Source:
    Hinton, Osindero, Teh, "A fast learning algorithm for deep belief nets", Neural Computation 2006; Hinton,
    Salakhutdinov, Science 2006; Bengio et al., NIPS 2007; Erhan et al., JMLR 2010; Glorot, Bengio, AISTATS 2010.
"""

from time import process_time

import torch
import torch.nn.functional as F

from gradiometer.lab.bench import Bench
from gradiometer.lab.datasets.images import images_for
from gradiometer.lab.experiments.pretraining.claims import pretraining_rows
from gradiometer.lab.experiments.pretraining.codes import (
    CODE_STARTS,
    CodeErrors,
    code_plan,
    codes_section,
    measure_codes,
)
from gradiometer.lab.experiments.pretraining.machines import machines_sections, measure_machines
from gradiometer.lab.experiments.pretraining.starts import (
    AUTOENCODERS,
    CONTROLLED_DEPTH,
    DEPTHS,
    HE_RELU,
    MACHINES,
    STARTS,
    UNIFORM,
    Curves,
    Pictures,
    Plan,
    Stacks,
    begin,
    last_accuracies,
    learn_stacks,
    learning_curves,
    pictures_of,
)
from gradiometer.lab.networks.as_module import MODULES
from gradiometer.lab.networks.plain import orders, plain_network
from gradiometer.schema import Chart, ExperimentReport, Line, Section, Table

PROGRESS = (0.1, 0.2, 0.35, 0.6)
"""Share that is done before each depth."""


def conduct(bench: Bench) -> ExperimentReport:
    """Learn machines, train networks of every start and depth, and deep autoencoders."""
    plan = bench.pick(toy=Plan(60, 8, 1, 20, 3), quick=Plan(1200, 64, 15, 20, 250), full=Plan(10_000, 100, 20, 50, 500))
    seeds = bench.seeds(toy=2, quick=2, full=3)
    images = images_for(bench)
    pictures = pictures_of(images, plan.pictures)
    machines = measure_machines(bench, pictures, plan)
    bench.progress(PROGRESS[0] / 2, "stacks of layers, learned without labels")
    begun = process_time()
    stacks = learn_stacks(pictures, plan, seeds)
    seconds = (process_time() - begun) / len(seeds)
    curves: Curves = {}
    for share, depth in zip(PROGRESS, DEPTHS, strict=True):
        bench.progress(share, f"networks of {depth} hidden layers")
        curves |= learning_curves(pictures, depth, plan, seeds, stacks)
    watch_protagonists(bench, pictures, plan, stacks)
    errors = measure_codes(bench, images)
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="pretraining",
        title="Pretraining: does learning layer by layer first rescue a deep network?",
        summary=summary_of(curves, errors),
        sections=(
            *machines_sections(machines, pictures),
            depth_section(curves, plan),
            controls_section(curves, plan),
            codes_section(errors, code_plan(bench), images.side),
        ),
        rows=pretraining_rows(bench, curves, seconds, errors),
        facts=(
            (
                "data",
                f"{images.name}: {len(pictures.inputs)} pictures learned from, {len(pictures.test_inputs)} tested",
            ),
            ("seeds", str(len(seeds))),
            ("layers", f"{plan.width} units each; batches of {plan.batch_size}, {plan.epochs} epochs"),
        ),
        run_files=tuple(str(path) for path in bench.run_files),
    )


def watch_protagonists(bench: Bench, pictures: Pictures, plan: Plan, stacks: Stacks) -> None:
    """Train five layers for a while as drawn and as learned by machines, and write their run files."""
    steps = bench.pick(toy=4, quick=180, full=600)
    for name, start in (("five-layers-uniform", UNIFORM), ("five-layers-pretrained", MACHINES)):
        layers = begin(STARTS[start], pictures, CONTROLLED_DEPTH, plan, 0, stacks)
        network = plain_network(layers, MODULES[STARTS[start].activation])
        optimizer = torch.optim.SGD(network.parameters(), STARTS[start].rate)
        generator = torch.Generator().manual_seed(0)
        batches = [
            chosen
            for _ in range(1 + steps * plan.batch_size // len(pictures.inputs))
            for chosen in orders(len(pictures.inputs), plan.batch_size, generator)
        ]
        with bench.watched(name, network, optimizer):
            for chosen in batches[:steps]:
                loss = F.cross_entropy(network(pictures.inputs[chosen]), pictures.labels[chosen])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()


def mean(values: list[float]) -> float:
    """Mean over the seeds."""
    return sum(values) / len(values)


def summary_of(curves: Curves, errors: CodeErrors) -> str:
    """What came out, in plain sentences."""
    drawn, learned, encoded, rectified = (
        mean(last_accuracies(curves, CONTROLLED_DEPTH, name)) for name in (UNIFORM, MACHINES, AUTOENCODERS, HE_RELU)
    )
    deepest = mean(last_accuracies(curves, DEPTHS[-1], MACHINES))
    pretrained, uniform = (mean(errors.last(name)) for name in CODE_STARTS[:2])
    return (
        f"Five sigmoid layers begun by chance end at {drawn:.1%} of the test pictures right; begun from Boltzmann "
        f"machines the same training ends at {learned:.1%}, from autoencoders at {encoded:.1%}. With seven layers "
        f"machines still give {deepest:.1%}. Pretraining is one cure of several: five ReLU layers with He's weights "
        f"reach {rectified:.1%} without it. A deep autoencoder begun from machines comes to a squared error of "
        f"{pretrained:.2f} a picture, as many principal components to {errors.components:.2f}, the same autoencoder "
        f"begun by chance to {uniform:.2f}; the average picture would have {errors.average:.2f}."
    )


def depth_section(curves: Curves, plan: Plan) -> Section:
    """How far each start gets by depth."""
    names = [name for name, start in STARTS.items() if not start.is_control]
    by_depth = [
        Line(
            name,
            tuple(float(depth) for depth in DEPTHS),
            tuple(mean(last_accuracies(curves, depth, name)) for depth in DEPTHS),
            low=tuple(min(last_accuracies(curves, depth, name)) for depth in DEPTHS),
            high=tuple(max(last_accuracies(curves, depth, name)) for depth in DEPTHS),
        )
        for name in names
    ]
    return Section(
        "With and without, by depth",
        (
            "Networks of sigmoids are begun in four ways and then trained in the same way, with labels, by plain "
            "descent. A sigmoid passes on a quarter of the gradient at most, so that each further layer leaves less "
            "for the first. And there is a worse trouble: forward, too, small weights make all pictures alike, layer "
            "by layer, until the last has nothing to tell them apart by. Layers that were learned first know how to "
            "keep pictures apart, and their weights are large enough to hand a gradient back.",
            Chart(
                "Accuracy by depth",
                f"After {plan.epochs} epochs, on test pictures; the band spans the seeds. Chance is a tenth.",
                "hidden layers",
                "share of test pictures right",
                tuple(by_depth),
            ),
            curve_chart(curves, names, plan, f"Learning with {CONTROLLED_DEPTH} hidden layers"),
        ),
    )


def curve_chart(curves: Curves, names: list[str], plan: Plan, title: str) -> Chart:
    """Accuracy by epoch of starts at the depth of the controls."""
    epochs = tuple(float(epoch + 1) for epoch in range(plan.epochs))
    lines = [
        Line(name, epochs, tuple(mean(list(some)) for some in zip(*curves[CONTROLLED_DEPTH, name], strict=True)))
        for name in names
    ]
    caption = "Accuracy on test pictures after each epoch, mean over the seeds."
    return Chart(title, caption, "epochs", "share of test pictures right", tuple(lines))


def controls_section(curves: Curves, plan: Plan) -> Section:
    """What else works, at the same depth and cost."""
    rows = []
    for name in STARTS:
        values = last_accuracies(curves, CONTROLLED_DEPTH, name)
        rows.append((name, STARTS[name].activation, mean(values), min(values), max(values)))
    controls = [name for name, start in STARTS.items() if start.is_control]
    return Section(
        "What works as well",
        (
            "Was it pretraining that these networks needed, or weights of another size? Each control changes one "
            "thing and learns no layer in advance: a greater learning rate, Adam, weights four times Glorot's (the "
            "sigmoid's slope is a quarter at most, and four makes up for it), and ReLU with He's weights. Good first "
            "weights close most of the gap at no cost, and ReLU goes beyond it. That is why nobody pretrains for the "
            "gradient's sake any more; what pretraining still has is that it learns from pictures without labels.",
            Table(
                f"{CONTROLLED_DEPTH} hidden layers, after {plan.epochs} epochs",
                "Share of test pictures right; least and greatest over the seeds beside the mean.",
                ("begun from", "units", "mean", "least", "greatest"),
                tuple(rows),
            ),
            curve_chart(curves, [MACHINES, *controls], plan, "The controls, epoch by epoch"),
        ),
    )
