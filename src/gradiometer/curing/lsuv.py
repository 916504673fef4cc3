"""Scale every layer's output to unit variance.

What it changes:
    The weights of every linear and convolutional layer are drawn orthogonal, biases set to zero; then the script's
    own first batch goes through the network once, and each layer's weights are divided by the spread of its output
    before the next layer sees it. Embeddings, normalising layers, recurrent layers and attention keep theirs.

When it helps:
    Where a rule for the scale (Glorot's, He's, the critical one) does not know the network: mixed activations,
    pooling, concatenations, inputs of unknown size. The batch tells what the signal does.

What it costs:
    One forward pass, and what was learned or loaded before: it is for training from scratch. Random numbers and the
    statistics of batch norms stay as they were. Weights that are used without calling their layer are drawn and not
    scaled.

Source:
    Mishkin and Matas, "All you need is a good init", ICLR 2016, algorithm 1. They run the network anew for every
    layer and stop within 0.1 of a variance of 1; a layer is linear in its weights, so one pass does all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gradiometer.curing.cure import Moment, Need, Patient, Placement, WithoutSetting, listed_in_words
from gradiometer.curing.drawing import Draw, redraw, redrawing_code
from gradiometer.curing.entrance import batch_of, call_code, root_of, run_apart
from gradiometer.curing.survey import WeightedLayer, weighted_layers
from gradiometer.errors import CureRefusedError

MOST_ROUNDS = 10
"""Divisions of one layer's weights, as in the paper; low precision may need a second one."""

TOLERANCE = 0.01
"""How far from 1 a spread may be: a division is exact to 1e-7, and to 4e-3 in bfloat16."""


@dataclass(frozen=True, slots=True)
class ScaleToUnitVariance(WithoutSetting):
    """Scale every layer by what the first batch shows.

    Attributes:
        seed: Seed of the generator that draws the weights.
    """

    name: ClassVar[str] = "scale_to_unit_variance"
    moment: ClassVar[Moment] = "first_forward"
    placement: ClassVar[Placement] = "before_optimizer"
    needs: ClassVar[frozenset[Need]] = frozenset({"inputs"})

    seed: int = 0

    def apply(self, patient: Patient) -> str:
        """Copy new weights into the same parameters; the optimizer's memory of them is wiped."""
        layers = self._layers(patient)
        _, root = root_of(patient)
        batch_of(patient)
        before = [
            (parameter, parameter.detach().clone()) for layer in layers.values() for parameter in layer.parameters()
        ]
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for place in layers:
                redraw(patient.model.get_submodule(place), Draw("orthogonal", 1.0), generator)
            try:
                scaled = self._scale(patient, root, layers)
            except CureRefusedError:
                for parameter, value in before:
                    parameter.copy_(value)
                raise
        for parameter, _ in before:
            if patient.optimizer is not None:
                patient.optimizer.state.pop(parameter, None)
        return f"{len(scaled)} layer(s) scaled to outputs of unit variance: {listed_in_words(scaled)}"

    def _layers(self, patient: Patient) -> dict[str, WeightedLayer]:
        """The layers to draw and scale, a weight that several share once.

        Raises:
            CureRefusedError: There is no hidden layer.
        """
        found: dict[str, WeightedLayer] = {}
        weights: set[int] = set()
        for place, layer in weighted_layers(patient):
            if layer.weight.requires_grad and id(layer.weight) not in weights:
                found[place] = layer
                weights.add(id(layer.weight))
        if len(found) < 2:
            raise CureRefusedError("the network has no hidden layer whose weights could be redrawn")
        return found

    def _scale(self, patient: Patient, root: nn.Module, layers: dict[str, WeightedLayer]) -> list[str]:
        """Run the first batch through, and scale each layer when it is first called; returns the places scaled."""
        scaled: list[str] = []
        handles = [
            layer.register_forward_hook(scaling_hook(place, scaled), with_kwargs=True)
            for place, layer in layers.items()
        ]
        try:
            run_apart(patient, root, self.seed)
        finally:
            for handle in handles:
                handle.remove()
        if not scaled:
            raise CureRefusedError("no layer's output varies over the first batch, so there is nothing to scale by")
        return scaled

    def snippet(self, patient: Patient) -> str:
        """The loop that draws, a hook that scales, and one run on the batch."""
        layers = self._layers(patient)
        draws = {place: Draw("orthogonal", 1.0) for place in layers}
        root, module = root_of(patient)
        call, has_buffers = call_code(patient), any(True for _ in module.buffers())
        return (
            f"{redrawing_code(patient.model, draws, self.seed)}\n\n{_HOOK}\n\n"
            "hooks = [model.get_submodule(place).register_forward_hook(scale, with_kwargs=True) for place in draws]\n"
            + (f"buffers = [(buffer, buffer.clone()) for buffer in {root}.buffers()]\n" if has_buffers else "")
            + f"with torch.no_grad(), torch.random.fork_rng():\n    torch.manual_seed({self.seed})\n    {call}\n"
            + ("    for buffer, value in buffers:\n        buffer.copy_(value)\n" if has_buffers else "")
            + "for hook in hooks:\n    hook.remove()\n"
        )


def scaling_hook(place: str, scaled: list[str]) -> Callable[..., Tensor | None]:
    """A forward hook that divides its layer's weight by the spread of the layer's output, in the first call only."""

    def scale(layer: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], output: Tensor) -> Tensor | None:
        if place in scaled:
            return None
        for _ in range(MOST_ROUNDS):
            spread = float(output.float().std(unbiased=False))
            if not 0.0 < spread < float("inf"):
                return None
            if abs(spread - 1.0) < TOLERANCE:
                break
            layer.weight.div_(spread)  # type: ignore[operator]
            torch.clear_autocast_cache()
            output = layer.forward(*args, **keywords)
        scaled.append(place)
        return output

    return scale


_HOOK = f"""\
done = set()


def scale(layer, args, keywords, output):
    for _ in range({MOST_ROUNDS} if layer not in done else 0):
        spread = float(output.float().std(unbiased=False))
        if not 0 < spread < float("inf"):
            return output
        if abs(spread - 1) < {TOLERANCE}:
            break
        layer.weight.div_(spread)
        output = layer.forward(*args, **keywords)
    done.add(layer)
    return output
"""
