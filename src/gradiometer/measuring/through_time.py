"""Recurrent layers replayed step by step: how the loss gradient fades or grows on its way back through time.

The fused layers (`nn.RNN`, `nn.LSTM`, `nn.GRU`) show neither their hidden states' gradients nor their inner layers. So
their forward pass is run again from weights, input and initial state, compared with what the fused layer gave, and
taken back by hand from the loss gradient at its output and final state. A gradient at a hidden state is total: what
the state contributes through its own output and all that later steps bring back. The last layer's output is its hidden
states, so each of its steps is replayed from the state that was there: where weights are so large that the gradient
explodes, roundings would grow as fast from step to step.

Dropout between layers hides the inner layers' inputs. On the CPU it is drawn again from the random state before the
call, with a generator of its own, and the comparison proves that it is the same. Elsewhere the last layer of an
`nn.RNN` is still measured, for its slopes follow from its output alone; gated layers are not, and the reason is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradiometer.measuring.autocast import without_autocast
from gradiometer.measuring.recurrent_arguments import Arranged, RecurrentUse, arrange
from gradiometer.measuring.recurrent_steps import StateGradients, Trace, run_backward, run_forward, weights_of

FloatArray = NDArray[np.float64]

MOST_ELEMENTS = 1 << 22
"""Elements that a replay may hold at a time, about: 16 MiB in float32. More examples are replayed in turns."""

STEP_ELEMENTS = 8
"""Elements that one time step of one layer keeps for each unit, about: gates, cell, output and their gradients."""

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Greatest difference of a replay from the fused output, relative to the greatest value of that output. Chosen by us:
about a hundred roundings of the format, for they add up over the steps."""

REDUCED_TOLERANCE = 5e-3
"""The same in float32 on a device whose recurrent kernels may round factors to ten bits (TF32)."""

FLOOR = 1e-30
"""Relative norm below which a float32 gradient is at the mercy of underflow (its smallest normal number is 1e-38)."""


@dataclass(frozen=True, slots=True)
class Fade:
    """A gradient's way back through time.

    Attributes:
        norms: Norm of the loss gradient at each time step's state, over all sequences still running there.
        gains: By steps back from each sequence's last step, which comes first: root mean square over the sequences
            of the norm, relative to the last step's; all nan where that is 0 or not finite.
        half_life_steps: Steps back in which the gradient halves, by least squares on the logarithm of the gains above
            the floor; negative where it grows (it doubles in so many), infinite where it keeps its size, nan for
            fewer than two steps.
    """

    norms: FloatArray
    gains: FloatArray
    half_life_steps: float


@dataclass(frozen=True, slots=True)
class TimePath:
    """One layer and direction of a recurrent layer.

    Attributes:
        layer: Rank of the inner layer, 0 nearest the input.
        is_reverse: It runs from the last time step to the first: its last step is time 0.
        hidden: Gradient at its hidden states.
        cell: Gradient at an LSTM's cell states, None elsewhere.
    """

    layer: int
    is_reverse: bool
    hidden: Fade
    cell: Fade | None = None


@dataclass(frozen=True, slots=True)
class ThroughTime:
    """What a replay says.

    Attributes:
        paths: Every layer and direction that was measured.
        difference: Greatest difference of the replay from the fused output, relative to that output's greatest
            value; None where no forward pass was replayed.
        example_count: Sequences that were replayed.
        not_measured: Why some or all is missing, None where all is there.
    """

    paths: tuple[TimePath, ...]
    difference: float | None
    example_count: int
    not_measured: str | None


@dataclass(slots=True)
class Replay:
    """A replay on its device, not yet read.

    Attributes:
        squares: By layer, direction and state, the squared gradient norm of each time step, then by steps back.
        counts: Sequences by steps back.
        difference: Greatest difference from the fused output, and that output's greatest value; None where no
            forward pass was replayed.
        tolerance: How much they may differ.
        example_count: Sequences that were replayed.
        not_measured: Why some or all is missing.
    """

    squares: dict[tuple[int, bool, str], Tensor]
    counts: FloatArray
    difference: Tensor | None
    tolerance: float
    example_count: int
    not_measured: str | None = None

    def tensors(self) -> list[Tensor]:
        """What has to come to the host."""
        return [*self.squares.values(), *([] if self.difference is None else [self.difference])]


def replay_recurrent(use: RecurrentUse, *, most_examples: int | None = None) -> Replay:
    """Replay one call of a recurrent layer; the device is not waited for.

    Args:
        use: The call, its result, and the loss gradients that came back; before the weights are changed.
        most_examples: Replay at most so many sequences, evenly spaced over the batch; norms are then those of these
            sequences alone. None for all.

    Returns:
        Numbers on the device, for `read_replay`.
    """
    module = use.module
    with torch.no_grad(), without_autocast(use.output_data.device):
        arranged = arrange(use, most_examples)
        hides_inputs = module.training and module.dropout > 0.0 and module.num_layers > 1 and arranged.masks is None
        reason = None
        if hides_inputs:
            reason = f"dropout between its {module.num_layers} layers can't be drawn again on this device"
        replay = Replay(
            {}, arranged.counts(), None, tolerance_of(use.output_data), arranged.example_count, not_measured=reason
        )
        if arranged.example_count == 0 or arranged.time_count == 0:
            replay.not_measured = "its batch is empty"
        elif not hides_inputs:
            replay_layers(replay, module, arranged)
        elif module.mode in ("RNN_TANH", "RNN_RELU"):
            replay.not_measured = f"{reason}: only the last layer was measured"
            for part in turns(module, arranged):
                take_back(replay, module, part, module.num_layers - 1, traces_from_output(module, part))
    return replay


def turns(module: nn.RNNBase, arranged: Arranged) -> Iterator[Arranged]:
    """Some examples at a time, so many that what a replay of them keeps stays in bounds."""
    per_step = len(directions(module)) * module.hidden_size * STEP_ELEMENTS * (module.num_layers + 1)
    count = max(1, MOST_ELEMENTS // (arranged.time_count * per_step))
    for start in range(0, arranged.example_count, count):
        yield arranged.examples(slice(start, start + count))


def replay_layers(replay: Replay, module: nn.RNNBase, arranged: Arranged) -> None:
    """Replay all layers, some examples at a time."""
    errors, sizes = [], []
    for part in turns(module, arranged):
        inputs, traces = part.inputs, []
        for layer in range(module.num_layers):
            if layer > 0 and part.masks is not None:
                inputs = inputs * part.masks[layer - 1]
            traces.append(forward_layer(module, part, layer, inputs))
            inputs = torch.cat([trace.outputs for trace in traces[-1]], dim=-1)
        errors.append((inputs - part.outputs).abs().amax())
        sizes.append(part.outputs.abs().amax())
        gradient = part.output_gradient
        for layer in reversed(range(module.num_layers)):
            found = take_back(replay, module, part, layer, traces.pop(), gradient)
            gradient = torch.stack([path.input for path in found]).sum(0)
            if layer > 0 and part.masks is not None:
                gradient = gradient * part.masks[layer - 1]
    replay.difference = torch.stack((torch.stack(errors).amax(), torch.stack(sizes).amax()))


def forward_layer(module: nn.RNNBase, part: Arranged, layer: int, inputs: Tensor) -> list[Trace]:
    """Run one layer forward in all its directions; the last one's output shows its hidden states."""
    traces, ways = [], directions(module)
    shown = part.outputs.chunk(len(ways), dim=-1) if layer == module.num_layers - 1 else [None] * len(ways)
    for is_reverse, known in zip(ways, shown, strict=True):
        weights = weights_of(module, layer, is_reverse=is_reverse, dtype=inputs.dtype)
        state = part.state(layer * len(ways) + is_reverse)
        traces.append(
            run_forward(module.mode, weights, inputs, state, part.is_running, is_reverse=is_reverse, known=known)
        )
    return traces


def traces_from_output(module: nn.RNNBase, arranged: Arranged) -> list[Trace]:
    """What going back through the last layer of an `nn.RNN` needs: its output, which is its hidden state."""
    outputs = arranged.outputs.chunk(len(directions(module)), dim=-1)
    return [Trace(output, [(hidden,) for hidden in output]) for output in outputs]


def take_back(
    replay: Replay,
    module: nn.RNNBase,
    part: Arranged,
    layer: int,
    traces: Sequence[Trace],
    gradient: Tensor | None = None,
) -> list[StateGradients]:
    """Take the gradient back through one layer in all its directions, and add its squared norms to the replay."""
    gradient = part.output_gradient if gradient is None else gradient
    found = []
    ways = zip(directions(module), traces, gradient.chunk(len(traces), dim=-1), strict=True)
    for is_reverse, trace, output_gradient in ways:
        weights = weights_of(module, layer, is_reverse=is_reverse, dtype=gradient.dtype)
        back = run_backward(
            module.mode,
            weights,
            trace,
            output_gradient,
            part.state_gradient(layer * len(traces) + is_reverse),
            part.is_running,
            is_reverse=is_reverse,
        )
        for name, states in (("hidden", back.hidden), ("cell", back.cell)):
            if states is not None:
                squares = part.squared_norms(states, is_reverse=is_reverse)
                key = (layer, is_reverse, name)
                replay.squares[key] = replay.squares[key] + squares if key in replay.squares else squares
        found.append(back)
    return found


def directions(module: nn.RNNBase) -> tuple[bool, ...]:
    """For each direction, in the order of torch's weights, whether it runs backward in time."""
    return (False, True) if module.bidirectional else (False,)


def tolerance_of(output: Tensor) -> float:
    """How far a replay may be from the fused output."""
    if output.dtype == torch.float32 and output.device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        return REDUCED_TOLERANCE
    return TOLERANCES.get(output.dtype, REDUCED_TOLERANCE)


def read_replay(replay: Replay, arrays: Sequence[FloatArray] | None = None) -> ThroughTime:
    """Judge a replay's numbers.

    Args:
        replay: The replay.
        arrays: The elements of its `tensors`, a flat array for each; None to fetch them, which waits for the device.

    Returns:
        Norms, gains and half-lives; no path, and the reason, where the replay disagrees with the fused layer.
    """
    if arrays is None:
        arrays = [tensor.double().flatten().cpu().numpy() for tensor in replay.tensors()]
    difference = None
    if replay.difference is not None:
        error, size = arrays[-1]
        difference = float(error / size) if size > 0.0 else float(error)
        if not difference <= replay.tolerance:
            reason = f"the replay differs from the fused layer by {difference:.2g} of its greatest output"
            return ThroughTime((), difference, replay.example_count, reason)
    fades = {}
    for number, key in enumerate(replay.squares):
        steps = len(replay.counts)
        by_time, by_age = arrays[number].reshape(2, steps)
        fades[key] = fade_of(np.sqrt(by_time), np.sqrt(by_age / replay.counts))
    paths = tuple(
        TimePath(layer, is_reverse, fade, fades.get((layer, is_reverse, "cell")))
        for (layer, is_reverse, name), fade in sorted(fades.items())
        if name == "hidden"
    )
    return ThroughTime(paths, difference, replay.example_count, replay.not_measured)


def fade_of_calls(norms: Sequence[float] | FloatArray) -> Fade:
    """The same for a cell called in a loop (`nn.RNNCell`, `LSTMCell`, `GRUCell`, or one of the user's own).

    Args:
        norms: Norm of the loss gradient at the state that each call gave, in the order of the calls. Gradients taken at
            a call's hidden output are total: what the next call brings back is in them. At an LSTM cell's second
            output, its cell state, fused kernels leave out what comes back through the hidden state of the same call.

    Example:
        >>> fade_of_calls([0.25, 0.5, 1.0]).half_life_steps
        1.0
    """
    by_time = np.asarray(norms, dtype=np.float64)
    return fade_of(by_time, by_time[::-1])


def fade_of(by_time: FloatArray, by_age: FloatArray) -> Fade:
    """Gains and half-life from norms by time step, and by steps back from the last."""
    is_known = len(by_age) > 0 and np.isfinite(by_age[0]) and by_age[0] > 0.0
    gains = by_age / by_age[0] if is_known else np.full(len(by_age), np.nan)
    return Fade(by_time, gains, half_life_steps(gains))


def half_life_steps(gains: FloatArray, *, floor: float = FLOOR) -> float:
    """Steps back in which a gradient halves.

    Args:
        gains: Gain relative to the last step, by steps back from it.
        floor: The fit ends before the first gain at or below it, or that is not finite.

    Returns:
        The half-life; negative where the gradient grows, infinite where it neither grows nor fades, nan for
        fewer than two steps above the floor.

    Example:
        >>> half_life_steps(np.array([1.0, 0.5, 0.25])), half_life_steps(np.array([1.0, 4.0]))
        (1.0, -0.5)
    """
    is_lost = ~(np.isfinite(gains) & (gains > floor))
    count = int(np.argmax(is_lost)) if is_lost.any() else len(gains)
    if count < 2:
        return float("nan")
    ages = np.arange(count) - (count - 1) / 2.0
    slope = float(ages @ np.log2(gains[:count]) / (ages @ ages))
    return float("inf") if slope == 0.0 else -1.0 / slope
