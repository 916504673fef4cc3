"""Experiment `initialisation`: how deep a network can be trained, and how that depends on its first weights.

What is to be learned: each layer multiplies signal and gradient by a factor that the weights' scale and the activation
decide; theory foretells it; away from the critical scale the depth that trains is about six xi_c; at the critical scale
it is directions that are lost, which orthogonal weights keep; and with them a thousand plain layers train.

Settings: each chapter's file has its own. In full MNIST where the published figure is MNIST's, else digits.

Source:
    Glorot and Bengio, AISTATS 2010; He et al., ICCV 2015; Saxe et al., ICLR 2014; Mishkin and Matas, ICLR 2016; Poole
    et al., NeurIPS 2016; Schoenholz et al., ICLR 2017; Pennington et al., NeurIPS 2017; Xiao et al., ICML 2018;
    Bachlechner et al., UAI 2021; De and Smith, NeurIPS 2020; Zhang et al., ICLR 2019.
"""

from gradiometer.lab.bench import Bench
from gradiometer.lab.experiments.chapter import rows_of, sections_of, summary_of
from gradiometer.lab.experiments.initialisation.data_driven_starts import examine_starts
from gradiometer.lab.experiments.initialisation.direction_spread import examine_directions
from gradiometer.lab.experiments.initialisation.extreme_depth import examine_extremes
from gradiometer.lab.experiments.initialisation.initial_signals import examine_signals
from gradiometer.lab.experiments.initialisation.layer_theory import examine_theory
from gradiometer.lab.experiments.initialisation.rectified_depth import examine_rectified
from gradiometer.lab.experiments.initialisation.top_saturation import examine_saturation
from gradiometer.lab.experiments.initialisation.trainable_depth import examine_depth_limit
from gradiometer.schema import ExperimentReport

CHAPTERS = (
    examine_signals,
    examine_saturation,
    examine_rectified,
    examine_theory,
    examine_depth_limit,
    examine_directions,
    examine_extremes,
    examine_starts,
)
"""The parts, in the order of the page."""


def conduct(bench: Bench) -> ExperimentReport:
    """Draw, measure and train."""
    chapters = [examine(bench) for examine in CHAPTERS]
    bench.progress(1.0, "done")
    return ExperimentReport(
        name="initialisation",
        title="First weights, and how deep a network may be",
        summary=summary_of(chapters),
        sections=sections_of(chapters),
        rows=rows_of(chapters),
        facts=(("data", "digits" if bench.is_quick else "MNIST and digits"),),
        run_files=tuple(str(path) for path in bench.run_files),
    )
