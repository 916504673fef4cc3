"""Recurrent layers unrolled into a loop of single steps that autograd goes through: the oracle of the replay."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS: dict[str, Any] = {
    "tanh": nn.RNN,
    "relu": lambda *args, **more: nn.RNN(*args, nonlinearity="relu", **more),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def single_layer(module: nn.RNNBase, layer: int, *, is_reverse: bool) -> nn.RNNBase:
    """One layer and direction as a module of its own, with the same weights."""
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    names += ["weight_hr"] if module.proj_size else []
    suffix = f"_l{layer}" + ("_reverse" if is_reverse else "")
    more = {"nonlinearity": module.nonlinearity} if isinstance(module, nn.RNN) else {}
    more |= {"proj_size": module.proj_size} if module.proj_size else {}
    inputs = getattr(module, "weight_ih" + suffix).shape[1]
    one = type(module)(inputs, module.hidden_size, bias=module.bias, **more).to(module.weight_ih_l0.dtype)
    for name in names:
        getattr(one, name + "_l0").data.copy_(getattr(module, name + suffix).data)
    return one


def lstm_step(one: nn.LSTM, inputs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """One step as the documentation of `nn.LSTM` writes it, through autograd; the same output as the module's own."""
    biases = (one.bias_ih_l0, one.bias_hh_l0) if one.bias else (None, None)
    gates = F.linear(inputs, one.weight_ih_l0, biases[0]) + F.linear(hidden, one.weight_hh_l0, biases[1])
    i, f, g, o = gates.unflatten(-1, (4, one.hidden_size)).unbind(-2)
    after = f.sigmoid() * cell + i.sigmoid() * g.tanh()
    output = o.sigmoid() * after.tanh()
    output = F.linear(output, one.weight_hr_l0) if one.proj_size else output
    torch.testing.assert_close(output, one(inputs, (hidden, cell))[0])
    return output, after


def unroll(
    module: nn.RNNBase, sequence: Tensor, hidden: Tensor, cell: Tensor | None, masks: list[Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor | None, dict]:
    """Run one sequence (time features) by calls of one step each; keep every state and its gradient."""
    states: dict[tuple[int, bool, str], list[Tensor]] = {}
    finals, cell_finals, is_lstm = [], [], isinstance(module, nn.LSTM)
    ways = (False, True) if module.bidirectional else (False,)
    for layer in range(module.num_layers):
        if layer and masks is not None:
            sequence = sequence * masks[layer - 1]
        outputs = []
        for way in ways:
            one, path = single_layer(module, layer, is_reverse=way), layer * len(ways) + way
            h, c = hidden[path : path + 1], None if cell is None else cell[path : path + 1]
            found: list[Tensor] = [h] * len(sequence)
            for time in reversed(range(len(sequence))) if way else range(len(sequence)):
                if is_lstm:
                    # The fused layer's cell state leaves out what its own hidden state brings back to it.
                    h, c = lstm_step(one, sequence[time : time + 1], h, c)
                    c.retain_grad()
                    states.setdefault((layer, way, "cell"), []).append(c)
                else:
                    _, h = one(sequence[time : time + 1], h)
                h.retain_grad()
                states.setdefault((layer, way, "hidden"), []).append(h)
                found[time] = h
            outputs.append(torch.cat(found))
            finals.append(h)
            cell_finals.append(c)
            for name in ("hidden", "cell") if way else ():
                states.get((layer, way, name), []).reverse()
        sequence = torch.cat(outputs, dim=-1)
    return sequence, torch.cat(finals), torch.cat(cell_finals) if is_lstm else None, states


def expected_norms(module: nn.RNNBase, sequences: list[Tensor], state: Any, ways: list[Any], masks: Any = None) -> dict:
    """Norms per path and time over all sequences, by autograd."""
    totals: dict[tuple[int, bool, str], np.ndarray] = {}
    longest = max(len(sequence) for sequence in sequences)
    for number, sequence in enumerate(sequences):
        hidden, cell = state
        output, final, cell_final, states = unroll(
            module,
            sequence,
            hidden[:, number].clone().requires_grad_(),
            None if cell is None else cell[:, number].clone().requires_grad_(),
            None if masks is None else [mask[:, number] for mask in masks],
        )
        at_output, at_hidden, at_cell = ways
        loss = (output * at_output[number]).sum() + (final * at_hidden[:, number]).sum()
        if cell_final is not None:
            loss = loss + (cell_final * at_cell[:, number]).sum()
        loss.backward()
        for key, found in states.items():
            squares = totals.setdefault(key, np.zeros(longest))
            squares[: len(found)] += [float(one.grad.double().square().sum()) for one in found]
    return {key: np.sqrt(squares) for key, squares in totals.items()}


def initial(module: nn.RNNBase, batch: int, scale: float = 1.0) -> tuple[Tensor, Tensor | None]:
    paths, dtype = module.num_layers * (1 + module.bidirectional), module.weight_ih_l0.dtype
    hidden = scale * torch.randn(paths, batch, module.proj_size or module.hidden_size, dtype=dtype)
    is_lstm = isinstance(module, nn.LSTM)
    return hidden, scale * torch.randn(paths, batch, module.hidden_size, dtype=dtype) if is_lstm else None


def as_given(state: tuple[Tensor, Tensor | None]) -> Any:
    return state[0] if state[1] is None else state
