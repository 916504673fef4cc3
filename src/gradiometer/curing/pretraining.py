"""Pretrain layer by layer.

What it changes:
    The weights and biases of hidden layers are learned without targets, one layer after the other, each from what the
    layers before it give for the script's own inputs, and copied into the same parameters. A linear layer with a
    sigmoid behind it becomes a restricted Boltzmann machine, any other an autoencoder with the layer's own activation;
    `rbm` and `autoencoder` choose one for all (`rbm`: sigmoids, and ReLU as noisy rectified units). A convolution gives
    back its input by the transposed convolution. Learned are layers whose activation comes directly behind them and
    that are called once; the output layer, frozen layers, recurrent ones and all else stay as they are.

When it helps:
    Deep networks whose first layers get no gradient, above all sigmoid ones: every layer starts with features of what
    is in front of it, and the signal arrives. On MNIST, 10,000 images, five sigmoid layers of 100 under plain descent
    stay at chance (11 % of test images right after 20 epochs) and reach 94 % pretrained.

What it costs:
    500 updates on 100 examples for each layer, beyond twenty layers 10,000 for all together (a convolution fewer, on
    fewer), before training begins: seconds on a small network. What was learned or loaded before is lost. On most
    networks weights drawn at the right scale do as much, and ReLU does more, at no cost (MNIST as above: 93 % with
    weights four times Glorot's, 95.7 % with ReLU and He's).

Source:
    Hinton, Osindero, Teh, Neural Computation 2006; Bengio et al., NIPS 2007; Hinton, "A practical guide to training
    restricted Boltzmann machines", 2010; Masci et al., ICANN 2011 (convolutions).
"""

import inspect
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gradiometer.curing.cure import Labelled, Moment, Need, Patient, Placement, listed_in_words
from gradiometer.curing.learners import autoencoder, layerwise, rbm
from gradiometer.curing.learners.layers_called import LayerCall, layers_called
from gradiometer.curing.learners.layerwise import LayerToLearn
from gradiometer.errors import CureRefusedError, SettingsError

LEARNERS = ("rbm", "autoencoder")
"""Ways to learn a layer."""

FEWEST_EXAMPLES = 8
"""Fewer inputs than these tell a layer nothing."""

RBM_ACTIVATIONS = ("sigmoid", "relu")
"""Activations that are the mean of a Boltzmann machine's hidden units."""

COMMON_PARTS = (
    *(layerwise.LayerToLearn, layerwise.InputsOf, layerwise.undisturbed, layerwise.inputs_of),
    rbm.batches_of,
)
RBM_PARTS = (
    *(rbm.RbmSettings, rbm.Rbm, rbm.new_rbm, rbm.hidden_mean, rbm.hidden_draw, rbm.visible_mean, rbm.visible_draw),
    *(rbm.fantasy_of, rbm.train_rbm, layerwise.learn_by_rbm),
)
AUTOENCODER_PARTS = (
    *(autoencoder.AutoencoderSettings, autoencoder.Autoencoder, autoencoder.encoded, autoencoder.decoded),
    *(autoencoder.reconstruction_loss, autoencoder.new_autoencoder, autoencoder.train_autoencoder),
    layerwise.learn_by_autoencoder,
)
"""What the snippet consists of, in order."""

IMPORTS = {
    "collections.abc": ("Callable", "Iterator", "Sequence"),
    "contextlib": ("contextmanager",),
    "dataclasses": ("dataclass", "field"),
    "typing": ("Any", "Literal", "NamedTuple"),
    "torch": ("Tensor", "nn"),
    "torch.overrides": ("TorchFunctionMode",),
}
"""What these parts import, beside torch and its functions."""


@dataclass(frozen=True, slots=True)
class PretrainLayers(Labelled):
    """Learn hidden layers without targets before training begins.

    Attributes:
        learner: One of `LEARNERS` for all layers; None to have it chosen by each layer's activation.
    """

    name: ClassVar[str] = "pretrain_layers"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"
    needs: ClassVar[frozenset[Need]] = frozenset({"samples"})

    learner: str | None = None

    @classmethod
    def parse(cls, setting: str) -> "PretrainLayers":
        """Read the learner; empty leaves it to be chosen.

        Raises:
            SettingsError: It is not one of `LEARNERS`.
        """
        if setting and setting not in LEARNERS:
            raise SettingsError(
                f"there is no learner {setting!r} to pretrain layers with; choose {', '.join(LEARNERS)}"
            )
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.learner

    def apply(self, patient: Patient) -> str:
        """Copy what was learned into the same parameters; the optimizer's memory of them is wiped."""
        layers, samples = self._plan(patient)
        named = named_parameters(patient)
        learned = [named[name] for layer in layers for name in (layer.weight, layer.bias) if name is not None]
        former = [parameter.detach().clone() for parameter in learned]
        layerwise.pretrain_layers(patient.model, samples, layers, forward_of(patient))
        if not all(bool(parameter.isfinite().all()) for parameter in learned):
            with torch.no_grad():
                for parameter, value in zip(learned, former, strict=True):
                    parameter.copy_(value)
            raise CureRefusedError("what was learned from the gathered inputs is not finite")
        if patient.optimizer is not None:
            for parameter in learned:
                patient.optimizer.state.pop(parameter, None)
        names = listed_in_words([layer.weight.rpartition(".")[0] or layer.weight for layer in layers])
        return f"{len(layers)} layer(s) were learned one after the other from {len(samples)} inputs: {names}"

    def _plan(self, patient: Patient) -> tuple[list[LayerToLearn], Tensor]:
        """Which layers are learned and how, and the inputs to go by.

        Raises:
            CureRefusedError: There are no inputs, the model does not run on them, or no layer can be learned.
        """
        samples = checked_samples(patient)
        calls = watched_calls(patient, samples)
        names = {id(parameter): name for name, parameter in named_parameters(patient).items()}
        hidden = [call for call in calls[:-1] if is_learnable(call, calls, names)]
        taken = [call for call in hidden if self.learner != "rbm" or call.convolution is None]
        if not taken:
            raise CureRefusedError(self._why_none(hidden))
        misfits = sorted({call.activation for call in taken} - set(RBM_ACTIVATIONS))
        if self.learner == "rbm" and misfits:
            kinds = ", ".join(misfits)
            raise CureRefusedError(f"a Boltzmann machine has no {kinds} units; choose pretrain_layers:autoencoder")
        layers = [
            LayerToLearn(
                names[id(call.weight)],
                None if call.bias is None else names[id(call.bias)],
                self.learner or ("rbm" if call.activation == "sigmoid" and not call.convolution else "autoencoder"),
                call.activation,
                call.settings,
                call.convolution,
            )
            for call in taken
        ]
        return layers, samples

    def _why_none(self, hidden: list[LayerCall]) -> str:
        if hidden:
            return "a Boltzmann machine learns linear layers only, and every hidden layer is a convolution"
        return "no hidden layer has its activation directly behind it, so there is none that could be pretrained"

    def snippet(self, patient: Patient) -> str:
        """The learners' own source, and the list of layers."""
        layers, _ = self._plan(patient)
        learners = {layer.learner for layer in layers}
        parts: list[Callable[..., Any]] = [*COMMON_PARTS]
        parts += RBM_PARTS if "rbm" in learners else ()
        parts += AUTOENCODER_PARTS if "autoencoder" in learners else ()
        parts += [layerwise.updates_for, layerwise.pretrain_layers]
        rows = "".join(f"    {tuple(layer)!r},\n" for layer in layers)
        code = "\n\n".join(inspect.getsource(part) for part in parts)
        return (
            f"{imports_of(code)}\n# inputs: a few thousand of the model's inputs, in one tensor\n\n\n{code}"
            "\n\n# weight, bias, learner, activation and its settings, convolution\n"
            f"layers = [\n{rows}]\npretrain_layers(model, inputs, layers)\n"
        )


def imports_of(code: str) -> str:
    """The lines that import what some code uses."""
    used = set(re.findall(r"\w+", code))
    lines = [
        f"from {home} import {', '.join(name for name in names if name in used)}\n"
        for home, names in IMPORTS.items()
        if used & set(names)
    ]
    split = sum(not line.startswith("from torch") for line in lines)
    functions = "import torch.nn.functional as F\n" if "F" in used else ""
    return "".join([*lines[:split], "\nimport torch\n", functions, *lines[split:]])


def checked_samples(patient: Patient) -> Tensor:
    """The gathered inputs.

    Raises:
        CureRefusedError: There are none, or too few, or the model is not one that takes them.
    """
    samples = patient.samples
    if samples is None:
        raise CureRefusedError("no inputs of the model were gathered that layers could be pretrained on")
    if len(samples) < FEWEST_EXAMPLES:
        raise CureRefusedError(f"only {len(samples)} inputs were gathered; layers need {FEWEST_EXAMPLES} to learn from")
    if not bool(samples.isfinite().all()):
        raise CureRefusedError("the gathered inputs hold NaN or infinity")
    if isinstance(patient.model, nn.ModuleDict):
        raise CureRefusedError("there are several models, and only those of the first have gathered inputs")
    if any(nn.parameter.is_lazy(parameter) for parameter in patient.model.parameters()):
        raise CureRefusedError("some layers get their shape at the first forward only")
    return samples


def named_parameters(patient: Patient) -> dict[str, nn.Parameter]:
    """The model's parameters by name, without the prefix of a compiled one."""
    model: nn.Module = getattr(patient.model, "_orig_mod", patient.model)
    return dict(model.named_parameters(remove_duplicate=False))


def forward_of(patient: Patient) -> Callable[[Tensor], Any]:
    """The model's forward, under the modes of the cures before this one."""

    def forward(inputs: Tensor) -> Any:
        with ExitStack() as stack:
            for mode in patient.forward_modes:
                stack.enter_context(mode)
            return patient.model.forward(inputs)

    return forward


def watched_calls(patient: Patient, samples: Tensor) -> list[LayerCall]:
    """The weighted layers that the model calls for some inputs, in order.

    Raises:
        CureRefusedError: It does not run on these inputs.
    """
    device = next((parameter.device for parameter in patient.model.parameters()), torch.device("cpu"))
    try:
        with layerwise.undisturbed(patient.model):
            return layers_called(forward_of(patient), samples[:FEWEST_EXAMPLES].to(device))
    except Exception as error:  # whatever the script's own forward raises
        told = f"{type(error).__name__}: {error}"
        raise CureRefusedError(f"the model does not run on its gathered inputs alone ({told})") from error


def is_learnable(call: LayerCall, calls: list[LayerCall], names: dict[int, str]) -> bool:
    """Whether a layer can be learned by itself: its activation is known, its parameters are its own and not frozen."""
    is_only_call = sum(other.weight is call.weight for other in calls) == 1
    is_named = id(call.weight) in names and (call.bias is None or id(call.bias) in names)
    is_free = call.weight.requires_grad and (call.bias is None or call.bias.requires_grad)
    return bool(call.activation) and call.is_reversible and is_only_call and is_named and is_free
