"""What a recurrent layer was called with, in one shape: time first, padded, with a note of where sequences end."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradiometer.measuring.exact_format import exact_format

State = tuple[Tensor, Tensor | None]
"""Hidden state and (LSTM) cell state, or the gradients at them."""

StateArgument = Tensor | tuple[Tensor | None, Tensor | None] | None
"""The same as torch's modules take and give it."""


@dataclass(frozen=True, slots=True, eq=False)
class RecurrentUse:
    """One call of an `nn.RNN`, `nn.LSTM` or `nn.GRU`.

    Attributes:
        module: The layer.
        input: Its input.
        output: Its output.
        output_gradient: Loss gradient at the output (of a packed sequence, at its `data`); None where the output
            was not used.
        state: Initial state as it was given, None where it was not.
        state_gradient: Loss gradient at the final state, as the layer gives that; None (also one of an LSTM's
            two) where it was not used.
        random_state: `torch.get_rng_state()` from just before the call; needed only for dropout between layers.
    """

    module: nn.RNNBase
    input: Tensor | PackedSequence
    output: Tensor | PackedSequence
    output_gradient: Tensor | None
    state: StateArgument = None
    state_gradient: StateArgument = None
    random_state: Tensor | None = None

    @property
    def output_data(self) -> Tensor:
        """The output as a tensor."""
        return self.output.data if isinstance(self.output, PackedSequence) else self.output


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """A call in one shape; floats in one format, gradients divided by their greatest value.

    Attributes:
        inputs: time batch inputs.
        outputs: time batch outputs.
        output_gradient: time batch outputs.
        states: Initial hidden and cell state, each layer*direction batch features.
        state_gradients: Loss gradient at the final ones.
        lengths: Steps of each sequence; None where all have all of them.
        is_running: time batch 1, whether a sequence has this step; None where all have all of them.
        masks: For each layer but the last, the factors by which dropout multiplied its output; None without dropout,
            or where it can't be drawn again.
        scale: What the gradients were divided by.
    """

    inputs: Tensor
    outputs: Tensor
    output_gradient: Tensor
    states: State
    state_gradients: State
    lengths: Tensor | None
    is_running: Tensor | None
    masks: tuple[Tensor, ...] | None
    scale: Tensor

    @property
    def time_count(self) -> int:
        """Time steps of the longest sequence."""
        return len(self.inputs)

    @property
    def example_count(self) -> int:
        """Sequences."""
        return self.inputs.shape[1]

    def state(self, path: int) -> State:
        """Initial state of one layer and direction."""
        return select(self.states, path)

    def state_gradient(self, path: int) -> State:
        """Gradient at the final state of one layer and direction."""
        return select(self.state_gradients, path)

    def counts(self) -> NDArray[np.float64]:
        """How many sequences have so many steps, and more, before their last; by steps back."""
        if self.lengths is None:
            return np.full(self.time_count, float(self.example_count))
        is_there = self.lengths.numpy()[None, :] > np.arange(self.time_count)[:, None]
        found: NDArray[np.float64] = is_there.sum(1).astype(np.float64)
        return found

    def examples(self, rows: slice | Tensor) -> "Arranged":
        """Some of the sequences, by a slice or by indices on the host."""
        hidden, cell = self.states
        hidden_gradient, cell_gradient = self.state_gradients
        lengths = None if self.lengths is None else self.lengths[rows]
        if isinstance(rows, Tensor):
            rows = rows.to(self.inputs.device, non_blocking=True)
        return replace(
            self,
            inputs=self.inputs[:, rows],
            outputs=self.outputs[:, rows],
            output_gradient=self.output_gradient[:, rows],
            states=(hidden[:, rows], None if cell is None else cell[:, rows]),
            state_gradients=(hidden_gradient[:, rows], None if cell_gradient is None else cell_gradient[:, rows]),
            lengths=lengths,
            is_running=None if self.is_running is None else self.is_running[:, rows],
            masks=None if self.masks is None else tuple(mask[:, rows] for mask in self.masks),
        )

    def squared_norms(self, states: Tensor, *, is_reverse: bool) -> Tensor:
        """Squared norms of gradients at states (time batch features): by time step, then by steps back."""
        exact = exact_format(states.device)
        norms: Tensor = torch.linalg.vector_norm(states, dim=-1, dtype=exact) * self.scale.to(exact)
        squares = norms.square()
        by_time = squares.sum(1)
        if is_reverse:
            by_age = by_time
        elif self.lengths is None:
            by_age = by_time.flip(0)
        else:
            times = torch.arange(self.time_count).unsqueeze(1)
            # A step after a sequence's end has no gradient: wherever it is counted, it adds zero.
            ages = (self.lengths.unsqueeze(0) - 1 - times).clamp(min=0).to(squares.device, non_blocking=True)
            by_age = torch.zeros_like(squares).scatter_add_(0, ages, squares).sum(1)
        return torch.stack((by_time, by_age))


def select(state: State, path: int) -> State:
    """One layer and direction of a state."""
    hidden, cell = state
    return hidden[path], None if cell is None else cell[path]


def arrange(use: RecurrentUse, most_examples: int | None) -> Arranged:
    """Bring a call's tensors into one shape; half formats are replayed in float32."""
    module, dtype = use.module, torch.promote_types(use.output_data.dtype, torch.float32)
    lengths = lengths_of(use.input)
    inputs = time_first(use, data_of(use.input), dtype)
    is_running = None
    if lengths is not None:
        is_running = (
            (torch.arange(len(inputs)).unsqueeze(1) < lengths).unsqueeze(-1).to(inputs.device, non_blocking=True)
        )
    gradient = torch.zeros_like(use.output_data) if use.output_gradient is None else use.output_gradient
    gradient = time_first(use, gradient, dtype)
    state_gradients = state_of(use, use.state_gradient, inputs)
    scale = greatest(gradient, *state_gradients)
    hidden_gradient, cell_gradient = state_gradients
    arranged = Arranged(
        inputs=inputs,
        outputs=time_first(use, use.output_data, dtype),
        output_gradient=gradient / scale,
        states=state_of(use, use.state, inputs),
        state_gradients=(hidden_gradient / scale, None if cell_gradient is None else cell_gradient / scale),
        lengths=lengths,
        is_running=is_running,
        masks=draw_masks(use, dtype) if module.training and module.dropout > 0.0 else None,
        scale=scale,
    )
    if most_examples is not None and arranged.example_count > most_examples:
        rows = torch.arange(most_examples) * arranged.example_count // most_examples
        return arranged.examples(rows)
    return arranged


def data_of(value: Tensor | PackedSequence) -> Tensor:
    """A sequence's values."""
    return value.data if isinstance(value, PackedSequence) else value


def lengths_of(value: Tensor | PackedSequence) -> Tensor | None:
    """Steps of each sequence of a packed one, longest first, on the host; None for a plain tensor."""
    if not isinstance(value, PackedSequence):
        return None
    sizes = value.batch_sizes
    return (sizes.unsqueeze(1) > torch.arange(int(sizes[0])).unsqueeze(0)).sum(0)


def time_first(use: RecurrentUse, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Values as time batch features; a packed sequence's are padded with zeros."""
    values = values.detach().to(dtype)
    if isinstance(use.input, PackedSequence):
        sizes = use.input.batch_sizes
        is_running = (
            (torch.arange(int(sizes[0])) < sizes.unsqueeze(1)).unsqueeze(-1).to(values.device, non_blocking=True)
        )
        padded = values.new_zeros(*is_running.shape[:2], values.shape[-1])
        return padded.masked_scatter_(is_running.expand_as(padded), values)
    if values.dim() == 2:
        return values.unsqueeze(1)
    return values.transpose(0, 1) if use.module.batch_first else values


def state_of(use: RecurrentUse, state: StateArgument, inputs: Tensor) -> State:
    """A state, or the gradient at one, as layer*direction batch features, in the order of the padded batch."""
    module = use.module
    is_lstm = module.mode == "LSTM"
    given = state if isinstance(state, tuple) else (state, None)
    paths = module.num_layers * (2 if module.bidirectional else 1)
    order = use.input.sorted_indices if isinstance(use.input, PackedSequence) else None
    found = []
    for value, features in zip(given, (module.proj_size or module.hidden_size, module.hidden_size), strict=True):
        if value is None:
            found.append(inputs.new_zeros(paths, inputs.shape[1], features))
            continue
        value = value.detach().to(inputs.dtype)
        value = value.unsqueeze(1) if value.dim() == 2 else value
        found.append(value if order is None else value.index_select(1, order))
    return found[0], found[1] if is_lstm else None


def draw_masks(use: RecurrentUse, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
    """Draw again what dropout between layers drew, as torch draws it on the CPU; None where that can't be done."""
    module = use.module
    if use.random_state is None or use.output_data.device.type != "cpu" or module.dropout >= 1.0:
        return None
    generator = torch.Generator()
    generator.set_state(use.random_state)
    data, keep = use.output_data, 1.0 - module.dropout
    shape = list(data.shape)
    if module.batch_first and data.dim() == 3 and not isinstance(use.input, PackedSequence):
        shape[:2] = shape[1::-1]
    masks = []
    for _ in range(module.num_layers - 1):
        mask = torch.empty(shape, dtype=data.dtype).bernoulli_(keep, generator=generator).div_(keep)
        if isinstance(use.input, PackedSequence):
            mask = time_first(use, mask, dtype)
        masks.append((mask.unsqueeze(1) if mask.dim() == 2 else mask).to(dtype))
    return tuple(masks)


def greatest(*values: Tensor | None) -> Tensor:
    """Greatest absolute value over some tensors, 1 where all are zero."""
    found = torch.stack(
        [value.abs().amax() for value in values if value is not None and value.numel() > 0] or [torch.ones(())]
    )
    scale = found.amax()
    return torch.where(scale == 0.0, 1.0, scale)
