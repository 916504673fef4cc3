"""One layer and direction of a recurrent network, step by step: forward, and the gradient back through its states.

The equations are those in the documentation of `torch.nn.RNN`, `LSTM` and `GRU`, and their derivatives written out.
Only states take part: no gradient of a weight is computed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class RecurrentWeights:
    """Weights of one layer and direction.

    Attributes:
        input: gates inputs.
        hidden: gates outputs.
        input_bias: gates; None without biases.
        hidden_bias: gates; None without biases.
        projection: outputs features, of an LSTM with `proj_size`.
    """

    input: Tensor
    hidden: Tensor
    input_bias: Tensor | None
    hidden_bias: Tensor | None
    projection: Tensor | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What going back needs of a forward pass.

    Attributes:
        outputs: time batch outputs, 0 where a sequence had ended.
        saved: For each time step, what its kind of layer keeps.
    """

    outputs: Tensor
    saved: Sequence[tuple[Tensor, ...]]


@dataclass(frozen=True, slots=True)
class StateGradients:
    """Total loss gradients along one layer and direction.

    Attributes:
        hidden: time batch outputs, at each hidden state, all that later steps bring back included.
        cell: time batch features, the same at each cell state of an LSTM.
        input: time batch inputs.
    """

    hidden: Tensor
    cell: Tensor | None
    input: Tensor


Step = Callable[[RecurrentWeights, Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor | None, tuple[Tensor, ...]]]
"""From weights, the input's share of the pre-activations and the state, to the next state and what to keep."""

StepBack = Callable[
    [RecurrentWeights, tuple[Tensor, ...], Tensor, Tensor | None], tuple[Tensor, Tensor, Tensor | None, Tensor | None]
]
"""From weights, what was kept, and the gradients at the new hidden and cell state, to those at the pre-activations, at
the hidden state before, and (LSTM) at the cell state before and, completed, at the new cell state."""


def tanh_step(
    weights: RecurrentWeights, drive: Tensor, hidden: Tensor, cell: Tensor | None
) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """One step of a tanh network."""
    hidden = torch.tanh(drive + F.linear(hidden, weights.hidden, weights.hidden_bias))
    return hidden, None, (hidden,)


def relu_step(
    weights: RecurrentWeights, drive: Tensor, hidden: Tensor, cell: Tensor | None
) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """One step of a ReLU network."""
    hidden = torch.relu(drive + F.linear(hidden, weights.hidden, weights.hidden_bias))
    return hidden, None, (hidden,)


def tanh_step_back(
    weights: RecurrentWeights, saved: tuple[Tensor, ...], hidden_gradient: Tensor, cell_gradient: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Back through one step of a tanh network."""
    drive_gradient = hidden_gradient * (1.0 - saved[0].square())
    return drive_gradient, drive_gradient @ weights.hidden, None, None


def relu_step_back(
    weights: RecurrentWeights, saved: tuple[Tensor, ...], hidden_gradient: Tensor, cell_gradient: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Back through one step of a ReLU network."""
    drive_gradient = hidden_gradient * (saved[0] > 0)
    return drive_gradient, drive_gradient @ weights.hidden, None, None


def lstm_step(
    weights: RecurrentWeights, drive: Tensor, hidden: Tensor, cell: Tensor | None
) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """One step of an LSTM; its hidden state is projected where it has a projection."""
    assert cell is not None
    gates = drive + F.linear(hidden, weights.hidden, weights.hidden_bias)
    admit, keep, candidate, give = torch.chunk(gates, 4, dim=-1)
    admit, keep, give = torch.sigmoid(admit), torch.sigmoid(keep), torch.sigmoid(give)
    candidate = torch.tanh(candidate)
    after = keep * cell + admit * candidate
    squashed = torch.tanh(after)
    hidden = give * squashed
    if weights.projection is not None:
        hidden = hidden @ weights.projection.t()
    return hidden, after, (admit, keep, candidate, give, squashed, cell)


def lstm_step_back(
    weights: RecurrentWeights, saved: tuple[Tensor, ...], hidden_gradient: Tensor, cell_gradient: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Back through one step of an LSTM."""
    assert cell_gradient is not None
    admit, keep, candidate, give, squashed, cell = saved
    if weights.projection is not None:
        hidden_gradient = hidden_gradient @ weights.projection
    cell_gradient = cell_gradient + hidden_gradient * give * (1.0 - squashed.square())
    drive_gradient = torch.cat(
        (
            cell_gradient * candidate * admit * (1.0 - admit),
            cell_gradient * cell * keep * (1.0 - keep),
            cell_gradient * admit * (1.0 - candidate.square()),
            hidden_gradient * squashed * give * (1.0 - give),
        ),
        dim=-1,
    )
    return drive_gradient, drive_gradient @ weights.hidden, cell_gradient * keep, cell_gradient


def gru_step(
    weights: RecurrentWeights, drive: Tensor, hidden: Tensor, cell: Tensor | None
) -> tuple[Tensor, Tensor | None, tuple[Tensor, ...]]:
    """One step of a GRU."""
    reset_drive, keep_drive, new_drive = torch.chunk(drive, 3, dim=-1)
    reset, keep, recalled = torch.chunk(F.linear(hidden, weights.hidden, weights.hidden_bias), 3, dim=-1)
    reset, keep = torch.sigmoid(reset_drive + reset), torch.sigmoid(keep_drive + keep)
    candidate = torch.tanh(new_drive + reset * recalled)
    return candidate + keep * (hidden - candidate), None, (reset, keep, candidate, recalled, hidden)


def gru_step_back(
    weights: RecurrentWeights, saved: tuple[Tensor, ...], hidden_gradient: Tensor, cell_gradient: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Back through one step of a GRU."""
    reset, keep, candidate, recalled, hidden = saved
    new_gradient = hidden_gradient * (1.0 - keep) * (1.0 - candidate.square())
    reset_gradient = new_gradient * recalled * reset * (1.0 - reset)
    keep_gradient = hidden_gradient * (hidden - candidate) * keep * (1.0 - keep)
    recurrent = torch.cat((reset_gradient, keep_gradient, new_gradient * reset), dim=-1)
    drive_gradient = torch.cat((reset_gradient, keep_gradient, new_gradient), dim=-1)
    return drive_gradient, hidden_gradient * keep + recurrent @ weights.hidden, None, None


STEPS: dict[str, tuple[Step, StepBack]] = {
    "RNN_TANH": (tanh_step, tanh_step_back),
    "RNN_RELU": (relu_step, relu_step_back),
    "LSTM": (lstm_step, lstm_step_back),
    "GRU": (gru_step, gru_step_back),
}
"""By `nn.RNNBase.mode`: a step and the way back through it."""


def weights_of(module: nn.RNNBase, layer: int, *, is_reverse: bool, dtype: torch.dtype) -> RecurrentWeights:
    """Weights of one layer and direction of a torch module."""
    suffix = f"l{layer}{'_reverse' if is_reverse else ''}"
    found = (
        getattr(module, f"{name}_{suffix}", None)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    )
    source, hidden, *rest = (None if value is None else value.detach().to(dtype) for value in found)
    assert source is not None
    assert hidden is not None
    return RecurrentWeights(source, hidden, *rest)


def run_forward(
    mode: str,
    weights: RecurrentWeights,
    inputs: Tensor,
    state: tuple[Tensor, Tensor | None],
    is_running: Tensor | None,
    *,
    is_reverse: bool,
    known: Tensor | None = None,
) -> Trace:
    """Run one layer and direction over a batch of sequences.

    Args:
        mode: Key of `STEPS`.
        weights: Its weights.
        inputs: time batch inputs.
        state: Initial hidden state and (LSTM) cell state.
        is_running: time batch 1, False where a sequence has ended; None where all are equally long.
        is_reverse: It runs from the last time step to the first.
        known: time batch outputs, hidden states that the layer is known to have had; each step then begins from the
            known one, so that roundings do not grow from step to step where weights are large. None to begin each
            from what the step before gave.

    Returns:
        What the steps gave, and what going back needs.
    """
    step, _ = STEPS[mode]
    drive = F.linear(inputs, weights.input, weights.input_bias)
    hidden, cell = state
    outputs: list[Tensor] = [hidden] * len(inputs)
    saved: list[tuple[Tensor, ...]] = [()] * len(inputs)
    for time in time_order(len(inputs), is_reverse=is_reverse):
        running = None if is_running is None else is_running[time]
        after, cell_after, saved[time] = step(weights, drive[time], hidden, cell)
        outputs[time] = where_running(after, running)
        hidden = where_running(after if known is None else known[time], running, hidden)
        if cell is not None and cell_after is not None:
            cell = where_running(cell_after, running, cell)
    return Trace(torch.stack(outputs), saved)


def run_backward(
    mode: str,
    weights: RecurrentWeights,
    trace: Trace,
    output_gradient: Tensor,
    state_gradient: tuple[Tensor, Tensor | None],
    is_running: Tensor | None,
    *,
    is_reverse: bool,
) -> StateGradients:
    """Take the gradient back through one layer and direction.

    Args:
        mode: Key of `STEPS`.
        weights: Its weights.
        trace: What its forward pass kept.
        output_gradient: time batch outputs, loss gradient at its output.
        state_gradient: Loss gradient at its final hidden state and (LSTM) cell state, apart from the output's.
        is_running: As in `run_forward`.
        is_reverse: As in `run_forward`.
    """
    _, step_back = STEPS[mode]
    carried, cell_carried = state_gradient
    hidden_gradients: list[Tensor] = [carried] * len(output_gradient)
    cell_gradients, drive_gradients = list(hidden_gradients), list(hidden_gradients)
    for time in reversed(time_order(len(output_gradient), is_reverse=is_reverse)):
        running = None if is_running is None else is_running[time]
        total = carried + output_gradient[time]
        drive, before, cell_before, cell_total = step_back(weights, trace.saved[time], total, cell_carried)
        hidden_gradients[time] = where_running(total, running)
        drive_gradients[time] = where_running(drive, running)
        carried = where_running(before, running, carried)
        if cell_carried is not None and cell_before is not None and cell_total is not None:
            cell_gradients[time] = where_running(cell_total, running)
            cell_carried = where_running(cell_before, running, cell_carried)
    return StateGradients(
        hidden=torch.stack(hidden_gradients),
        cell=None if cell_carried is None else torch.stack(cell_gradients),
        input=torch.stack(drive_gradients) @ weights.input,
    )


def where_running(values: Tensor, running: Tensor | None, otherwise: Tensor | float = 0.0) -> Tensor:
    """Values of the sequences that have this step, something else for those that had ended."""
    return values if running is None else torch.where(running, values, otherwise)


def time_order(count: int, *, is_reverse: bool) -> range:
    """Time steps in the order in which they are run."""
    return range(count - 1, -1, -1) if is_reverse else range(count)
