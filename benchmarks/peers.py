"""What gradiometer costs beside tools that measure less: all in one process, on the same workloads, interleaved.

Every tool has a model of its own from the same seed. Blocks run in the order bare, two tools, bare, two more ...; a
tool's ratio is to the bare blocks next to it. `bare twin` is a second bare training: what it differs from 1 by is what
this machine can't tell apart. gradiometer's core is measured at every step, and so is each dearer measurement with it;
`gradiometer default` is timed from the step on at which its advance is repaid.

    pip install 'gradiometer[peers]'    # Graphviz's headers are needed to build torchexplorer's pygraphviz
    python benchmarks/peers.py [--only W1] [--blocks 10] [--threads 1] [--tools gradiometer,wandb]

A tool that is not installed or can't measure a workload is named with the reason.
"""

import argparse
import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import process_time

import torch
from torch import nn
from workloads import WORKLOADS, Training, Variant, Workload, add_only, compare, print_machine

from gradiometer.measuring.dear import DEAR_MEASUREMENTS
from gradiometer.session import watch

MOST_REPAYING_SECONDS = 120.0
"""Processor time. The default is timed once its advance is repaid; where that takes longer, as it is, and told so."""


def bare_twin(training: Training, folder: Path) -> Variant:
    """A second bare training."""
    return Variant(training.step)


def gradiometer_default(training: Training, folder: Path) -> Variant:
    """Everything that gradiometer measures by itself, its advance repaid."""
    watching = watch(training.model, training.optimizer, file=folder / "run.db")
    probe, budget = watching.session.probe, watching.session.budget
    start = process_time()
    probe.attach()
    while budget.repaid_step is None:
        training.step()
        if process_time() - start > MOST_REPAYING_SECONDS:
            print(
                f"  gradiometer default: the advance is not repaid after {probe.step} steps, {budget.share:.2%} so far"
            )
            break
    probe.detach()
    return Variant(training.step, probe.attach, probe.detach)


def gradiometer_full(*dear: str) -> Callable[[Training, Path], Variant]:
    """The core of a full measurement at every step, and some dear measurements with it."""

    def start(training: Training, folder: Path) -> Variant:
        watching = watch(training.model, training.optimizer, file=folder / "run.db", overhead=1.0, dear=dear)
        probe = watching.session.probe
        probe.attach()
        for _ in range(3):
            training.step()
        if dear and not (turns := watching.run.turns):
            raise ValueError(f"nothing to measure here ({len(turns)} turns)")
        probe.detach()
        return Variant(training.step, probe.attach, probe.detach)

    return start


def wandb_watch(training: Training, folder: Path) -> Variant:
    """Histograms of gradients and weights at every step."""
    import wandb

    # The last workload's run, where there was one, ends here.
    wandb.finish()
    run = wandb.init(mode="offline", dir=str(folder), project="peers", settings=wandb.Settings(silent=True))
    run.watch(training.model, log="all", log_freq=1)

    def step() -> None:
        training.step()
        run.log({"loss": training.loss.item()})

    return Variant(step)


def tensorboard_histograms(training: Training, folder: Path) -> Variant:
    """The same, by a loop that a user writes."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    count = 0

    def step() -> None:
        nonlocal count
        training.step()
        writer.add_scalar("loss", training.loss.item(), count)
        for name, parameter in training.model.named_parameters():
            writer.add_histogram(name, parameter.detach(), count)
            if parameter.grad is not None:
                writer.add_histogram(f"{name}.grad", parameter.grad, count)
        count += 1

    return Variant(step)


def cockpit_economy(training: Training, folder: Path) -> Variant:
    """The least that Cockpit measures, at every step."""
    from backpack import extend
    from cockpit import Cockpit
    from cockpit.utils.configuration import configuration

    model, loss_fn = extend(training.model), extend(nn.CrossEntropyLoss())
    apart = nn.CrossEntropyLoss(reduction="none")
    cockpit = Cockpit(list(model.parameters()), quantities=configuration("economy"))
    count = 0

    def step() -> None:
        nonlocal count
        training.optimizer.zero_grad()
        outputs = model(training.inputs)
        loss, losses = loss_fn(outputs, training.targets), apart(outputs, training.targets)
        info = {
            "batch_size": len(training.inputs),
            "individual_losses": losses,
            "loss": loss,
            "optimizer": training.optimizer,
        }
        with cockpit(count, info=info):
            loss.backward(create_graph=cockpit.create_graph(count))
        training.optimizer.step()
        count += 1

    return Variant(step, steps=1)


def delve_saturation(training: Training, folder: Path) -> Variant:
    """Saturation of every layer's outputs."""
    from delve import SaturationTracker

    tracker = SaturationTracker(str(folder / "delve"), save_to="csv", modules=training.model, device="cpu", nosave=True)

    def step() -> None:
        training.step()
        # The tracker holds hooks on the model for as long as it is alive.
        assert tracker.record

    return Variant(step)


def torchexplorer_every_step(training: Training, folder: Path) -> Variant:
    """Histograms of inputs, outputs and gradients of every module."""
    import torchexplorer

    torchexplorer.watch(training.model, log_freq=1, backend="none")
    return Variant(training.step)


TOOLS: Mapping[str, tuple[str | None, Callable[[Training, Path], Variant]]] = {
    "bare twin": (None, bare_twin),
    "gradiometer default": (None, gradiometer_default),
    "gradiometer core, every step": (None, gradiometer_full()),
    **{f"gradiometer core + {name}": (None, gradiometer_full(name)) for name in DEAR_MEASUREMENTS},
    "wandb.watch(log='all', log_freq=1)": ("wandb", wandb_watch),
    "TensorBoard histograms": ("tensorboard", tensorboard_histograms),
    "Cockpit economy": ("cockpit-for-pytorch", cockpit_economy),
    "delve": ("delve", delve_saturation),
    "torchexplorer, every step": ("torchexplorer", torchexplorer_every_step),
}
"""By title: the package that has to be installed, and what starts the tool on a training."""


def start_tools(workload: Workload, wanted: list[str], folder: Path) -> dict[str, Variant]:
    """Start every tool on a training of its own, and take its first steps; what fails is told and left out."""
    started: dict[str, Variant] = {}
    for number, (title, (package, start)) in enumerate(TOOLS.items()):
        if wanted and not any(word in title.lower() for word in wanted):
            continue
        own = folder / str(number)
        own.mkdir()
        try:
            if package is not None:
                version(package)
            variant = start(Training(workload), own)
            variant.enter()
            for _ in range(min(variant.steps or 3, 3)):
                variant.step()
            variant.leave()
            started[title] = variant
        except PackageNotFoundError:
            print(f"  {title:36} not installed")
        except Exception as error:  # noqa: BLE001 - other people's code, which is told
            print(
                f"  {title:36} can't: {type(error).__name__}: {str(error).splitlines()[0][:110] if str(error) else ''}"
            )
    return started


def measure(name: str, workload: Workload, wanted: list[str], blocks: int) -> None:
    """Time the tools on one workload and print a line for each."""
    print(f"{name} {workload.title}: ratio to the bare step, median over blocks [95 % interval]")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        variants = start_tools(workload, wanted, Path(folder))
        bare = Training(workload)
        for _ in range(3):
            bare.step()
        with contextlib.redirect_stdout(io.StringIO()):
            ratios = compare(Variant(bare.step), variants, blocks=blocks, steps=workload.block_steps)
        for title, ratio in ratios.items():
            print(f"  {title:36} {ratio}", flush=True)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_only(parser)
    parser.add_argument("--blocks", type=int, default=10, help="blocks of each tool")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--tools", default="", help="words of the titles wanted, by comma; all where none is given")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print_machine()
    packages = sorted({package for package, _ in TOOLS.values() if package})
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            print(f"{package} {version(package)}", end="  ")
    print()
    wanted = [word.strip().lower() for word in arguments.tools.split(",") if word.strip()]
    for name in arguments.only:
        measure(name, WORKLOADS[name], wanted, arguments.blocks)


if __name__ == "__main__":
    main()
