"""Experiment `activations`: what activation functions pass on, where they saturate, and when their units die.

What is to be learned: the slope is the activation's factor in every gradient; which functions have a flat side, which
hand on a mean; that the depth at which training fails is decided by the weights more than by the function; how a
learning rate kills ReLU units; and that without a bend depth is worth nothing.

Settings: sigmoid, tanh, ReLU, leaky ReLU (0.01), PReLU (learned from 0.25), ELU, SELU, GELU, SiLU, softplus and maxout
of two pieces, on digits and, for the question odd or even, on MNIST in full. Each chapter's file has its own.

Source:
    Glorot and Bengio, AISTATS 2010; Glorot, Bordes, Bengio, "Deep sparse rectifier neural networks", AISTATS 2011;
    Maas et al., "Rectifier nonlinearities improve neural network acoustic models", 2013; He et al., ICCV 2015 (PReLU);
    Clevert et al., ICLR 2016 (ELU); Klambauer et al., NeurIPS 2017 (SELU); Hendrycks and Gimpel, 2016 (GELU);
    Elfwing et al., 2018, and Ramachandran et al., 2017 (SiLU); Goodfellow et al., ICML 2013 (maxout); Stanford's
    cs231n, notes on neural networks, part 1 (dead units).
"""

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.activations.deaths import examine_deaths
from gradiometer.lab.experiments.activations.depth import examine_depth
from gradiometer.lab.experiments.activations.linear import examine_linear
from gradiometer.lab.experiments.activations.shapes import examine_shapes
from gradiometer.lab.experiments.activations.training import examine_training
from gradiometer.lab.experiments.chapter import rows_of, sections_of, summary_of
from gradiometer.schema import ExperimentReport

CHAPTERS = (examine_shapes, examine_depth, examine_training, examine_deaths, examine_linear)
"""The parts, in the order of the page."""


def conduct(bench: Bench) -> ExperimentReport:
    """Compare the activations."""
    chapters = [examine(bench) for examine in CHAPTERS]
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="activations",
        title="Activation functions",
        summary=summary_of(chapters),
        sections=sections_of(chapters),
        rows=rows_of(chapters),
        facts=(("data", "digits; odd or even on MNIST in full"),),
        run_files=tuple(str(path) for path in bench.run_files),
    )
