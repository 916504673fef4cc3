"""Cures: changes to a live model and optimizer that may make a network train, each with its snippet.

`CURES` is the whole list. A cure is written as its name and a setting, `redraw_weights:he`; several together with
`+`. `gradiometer.curing.choosing` says which are worth trying for some findings.
"""

from difflib import get_close_matches

from gradiometer.curing.activation import ExchangeActivation
from gradiometer.curing.activation_insertion import InsertActivation
from gradiometer.curing.chain import Chain, in_order, parts_of
from gradiometer.curing.clipping import ClipGradients
from gradiometer.curing.cure import Cure, Labelled, Patient
from gradiometer.curing.gating import OpenForgetGates
from gradiometer.curing.initialisation import RedrawWeights
from gradiometer.curing.input_scale import StandardiseInput
from gradiometer.curing.learning_rate import ChangeLearningRate
from gradiometer.curing.loss_pairing import FixLossPairing
from gradiometer.curing.loss_scaling import ScaleLoss
from gradiometer.curing.lsuv import ScaleToUnitVariance
from gradiometer.curing.normalisation import InsertNormalisation
from gradiometer.curing.normalisation_exchange import ExchangeNormalisation
from gradiometer.curing.number_format import KeepWeightsInFloat32
from gradiometer.curing.optimizer import ExchangeOptimizer
from gradiometer.curing.pretraining import PretrainLayers
from gradiometer.curing.recurrence import ExchangeRecurrence
from gradiometer.curing.recurrent_weights import RedrawRecurrentWeights
from gradiometer.curing.regularisation import ReduceRegularisation
from gradiometer.curing.residual import AddResidualPaths
from gradiometer.curing.symmetry import BreakSymmetry
from gradiometer.curing.target_scale import ScaleOutputToTargets
from gradiometer.curing.warmup import WarmUpLearningRate
from gradiometer.curing.zeroing import ZeroGradients
from gradiometer.errors import SettingsError

CURES: dict[str, type[Labelled]] = {
    "exchange_activation": ExchangeActivation,
    "insert_activation": InsertActivation,
    "redraw_weights": RedrawWeights,
    "redraw_recurrent_weights": RedrawRecurrentWeights,
    "scale_to_unit_variance": ScaleToUnitVariance,
    "break_symmetry": BreakSymmetry,
    "open_forget_gates": OpenForgetGates,
    "pretrain_layers": PretrainLayers,
    "standardise_input": StandardiseInput,
    "insert_normalisation": InsertNormalisation,
    "exchange_normalisation": ExchangeNormalisation,
    "add_residual_paths": AddResidualPaths,
    "exchange_recurrence": ExchangeRecurrence,
    "clip_gradients": ClipGradients,
    "zero_gradients": ZeroGradients,
    "change_learning_rate": ChangeLearningRate,
    "warm_up_learning_rate": WarmUpLearningRate,
    "exchange_optimizer": ExchangeOptimizer,
    "reduce_regularisation": ReduceRegularisation,
    "keep_weights_in_float32": KeepWeightsInFloat32,
    "scale_loss": ScaleLoss,
    "fix_loss_pairing": FixLossPairing,
    "scale_output_to_targets": ScaleOutputToTargets,
}
"""Every cure, by the name that it is written with."""

__all__ = ["CURES", "Chain", "Cure", "Patient", "joined_label", "parse_cure", "parts_of"]


def joined_label(words: str) -> str:
    """The label that several names stand for, however they are joined.

    Example:
        >>> joined_label("clip_gradients, redraw_weights:he")
        'clip_gradients+redraw_weights:he'
    """
    return "+".join(part.strip() for part in words.replace(",", "+").split("+"))


def parse_cure(label: str) -> Cure | Chain:
    """Make the cure that a label stands for.

    Args:
        label: A name with its setting, `clip_gradients:1.0`, or several joined with `+`, in any order.

    Returns:
        The cure; a `Chain` for several.

    Raises:
        SettingsError: There is no such cure, or its setting is not understood.

    Example:
        >>> parse_cure("exchange_activation:relu+redraw_weights:he").label
        'exchange_activation:relu+redraw_weights:he'
    """
    parts = []
    for part in label.split("+"):
        name, _, setting = part.strip().partition(":")
        if name not in CURES:
            nearest = get_close_matches(name, CURES, n=1)
            meant = f"did you mean {nearest[0]!r}?" if nearest else f"choose {', '.join(CURES)}"
            raise SettingsError(f"there is no cure {name!r}; {meant}")
        parts.append(CURES[name].parse(setting))
    return parts[0] if len(parts) == 1 else Chain(in_order(parts))
