"""Replayed recurrent layers against autograd through an unrolled loop of single steps."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from gradiometer.measuring import through_time
from gradiometer.measuring.recurrent_arguments import RecurrentUse
from gradiometer.measuring.through_time import (
    ThroughTime,
    fade_of_calls,
    half_life_steps,
    read_replay,
    replay_recurrent,
)
from measuring.unrolled import KINDS, as_given, expected_norms, initial


def compare(found: ThroughTime, expected: dict, rel: float) -> None:
    assert found.not_measured is None
    assert {(path.layer, path.is_reverse) for path in found.paths} == {key[:2] for key in expected}
    for path in found.paths:
        for name, fade in (("hidden", path.hidden), ("cell", path.cell)):
            if fade is not None or name == "hidden":
                assert fade.norms == pytest.approx(expected[path.layer, path.is_reverse, name], rel=rel, abs=rel * 1e-3)


# torch itself warns that its faster kernel knows no projections.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@settings(max_examples=40)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 3),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 3),
    st.integers(1, 7),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_every_kind_layer_and_direction_equals_autograd(
    kind: str,
    layers: int,
    is_bidirectional: bool,
    is_batch_first: bool,
    has_bias: bool,
    has_projection: bool,
    batch: int,
    steps: int,
    dtype: torch.dtype,
) -> None:
    more = {"proj_size": 2} if has_projection and kind == "lstm" else {}
    module = KINDS[kind](
        3, 5, layers, bidirectional=is_bidirectional, batch_first=is_batch_first, bias=has_bias, **more
    ).to(dtype)
    inputs = torch.randn(steps, batch, 3, dtype=dtype)
    state, ways = initial(module, batch), initial(module, batch)
    given_input = inputs.transpose(0, 1) if is_batch_first else inputs
    output, _ = module(given_input, as_given(state))
    way = torch.randn_like(output)
    use = RecurrentUse(module, given_input, output, way, as_given(state), as_given(ways))
    found = read_replay(replay_recurrent(use))
    by_example = list(way if is_batch_first else way.transpose(0, 1))
    expected = expected_norms(module, list(inputs.transpose(0, 1)), state, [by_example, *ways])
    compare(found, expected, 1e-5 if dtype == torch.float32 else 1e-10)
    assert found.difference is not None
    assert found.difference < (1e-5 if dtype == torch.float32 else 1e-13)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 6, 4]])
def test_packed_sequences_end_where_they_end(kind: str, lengths: list[int]) -> None:
    module = KINDS[kind](3, 4, 2, bidirectional=True).double()
    sequences = [torch.randn(length, 3, dtype=torch.float64) for length in lengths]
    packed = pack_sequence(sequences, enforce_sorted=False)
    state, ways = initial(module, len(lengths)), initial(module, len(lengths))
    output, _ = module(packed, as_given(state))
    at_outputs = [torch.randn(length, 8, dtype=torch.float64) for length in lengths]
    at_data = pack_sequence(at_outputs, enforce_sorted=False).data
    use = RecurrentUse(module, packed, output, at_data, as_given(state), as_given(ways))
    found = read_replay(replay_recurrent(use))
    compare(found, expected_norms(module, sequences, state, [at_outputs, *ways]), 1e-10)
    alone = [expected_norms(module, [one], tuple(None if part is None else part[:, k : k + 1] for part in state),
                            [[at_outputs[k]], *(None if part is None else part[:, k : k + 1] for part in ways)])
             for k, one in enumerate(sequences)]  # fmt: skip
    for path in found.paths:
        ages = [one[path.layer, path.is_reverse, "hidden"][:: 1 if path.is_reverse else -1] for one in alone]
        rms = np.array([
            math.sqrt(np.mean([norms[age] ** 2 for norms in ages if age < len(norms)])) for age in range(max(lengths))
        ])  # fmt: skip
        assert path.hidden.gains == pytest.approx(rms / rms[0], rel=1e-9)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_dropout_between_layers_is_drawn_again(kind: str) -> None:
    module = KINDS[kind](3, 4, 3, dropout=0.4, bidirectional=True, batch_first=True).double()
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    random_state = torch.get_rng_state()
    output, _ = module(inputs)
    before = torch.get_rng_state()
    way = torch.randn_like(output)
    after = torch.get_rng_state()
    use = RecurrentUse(module, inputs, output, way, random_state=random_state)
    found = read_replay(replay_recurrent(use))
    assert torch.equal(torch.get_rng_state(), after)
    torch.set_rng_state(random_state)
    ones = [F.dropout(torch.ones(6, 2, 8, dtype=torch.float64), 0.4) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    zeros = initial(module, 2, scale=0.0)
    compare(found, expected_norms(module, list(inputs), zeros, [list(way), *zeros], ones), 1e-10)


def test_dropout_of_packed_and_unbatched_sequences_is_drawn_again() -> None:
    cases = (torch.randn(6, 3), pack_sequence([torch.randn(4, 3), torch.randn(2, 3)]), torch.randn(6, 2, 3))
    for module, inputs in itertools.product((nn.GRU(3, 4, 2, dropout=0.5), nn.LSTM(3, 4, 2, dropout=0.5)), cases):
        random_state = torch.get_rng_state()
        output, _ = module(inputs)
        data = output.data if isinstance(output, PackedSequence) else output
        use = RecurrentUse(module, inputs, output, torch.ones_like(data), random_state=random_state)
        found = read_replay(replay_recurrent(use))
        assert found.not_measured is None
        assert len(found.paths) == 2


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_unknown_dropout_leaves_what_the_output_alone_tells(kind: str) -> None:
    module = KINDS[kind](3, 4, 2, dropout=0.4).double()
    inputs = torch.randn(6, 2, 3, dtype=torch.float64)
    output, _ = module(inputs)
    way = torch.randn_like(output)
    random_state = torch.get_rng_state()
    output, _ = module(inputs)
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way)))
    assert found.not_measured is not None
    assert "dropout between its 2 layers" in found.not_measured
    assert found.difference is None
    if kind in ("lstm", "gru"):
        assert found.paths == ()
        return
    whole = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way, random_state=random_state)))
    assert [path.layer for path in found.paths] == [1]
    assert found.paths[0].hidden.norms == pytest.approx(whole.paths[1].hidden.norms, rel=1e-12)


def test_dropout_does_not_matter_when_it_is_off() -> None:
    inputs = torch.randn(4, 2, 3)
    for module in (nn.GRU(3, 4, 2, dropout=0.4).eval(), nn.GRU(3, 4, 2, dropout=0.0)):
        output, _ = module(inputs)
        use = RecurrentUse(module, inputs, output, torch.ones_like(output))
        assert read_replay(replay_recurrent(use)).not_measured is None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_unbatched_input_equals_a_batch_of_one(kind: str) -> None:
    module = KINDS[kind](3, 4, 2, bidirectional=True, batch_first=True).double()
    inputs = torch.randn(6, 3, dtype=torch.float64)
    (hidden, cell), ways = initial(module, 1), initial(module, 1)
    output, _ = module(inputs, as_given((hidden[:, 0], None if cell is None else cell[:, 0])))
    use = RecurrentUse(
        module,
        inputs,
        output,
        torch.ones_like(output),
        as_given((hidden[:, 0], None if cell is None else cell[:, 0])),
        as_given((ways[0][:, 0], None if ways[1] is None else ways[1][:, 0])),
    )
    expected = expected_norms(module, [inputs], (hidden, cell), [[torch.ones_like(output)], *ways])
    compare(read_replay(replay_recurrent(use)), expected, 1e-10)


def test_a_final_state_alone_brings_its_gradient_back() -> None:
    module = nn.LSTM(3, 4).double()
    inputs = torch.randn(5, 2, 3, dtype=torch.float64)
    output, _ = module(inputs)
    zeros, (at_hidden, _) = initial(module, 2, scale=0.0), initial(module, 2)
    use = RecurrentUse(module, inputs, output, None, None, (at_hidden, None))
    expected = expected_norms(
        module, list(inputs.transpose(0, 1)), zeros, [[torch.zeros(5, 4)] * 2, at_hidden, zeros[1]]
    )
    compare(read_replay(replay_recurrent(use)), expected, 1e-10)


def test_many_examples_are_replayed_in_turns_with_the_same_result() -> None:
    module = nn.LSTM(8, 128, 2)
    inputs = torch.randn(40, 60, 8)
    per_example = 40 * 128 * through_time.STEP_ELEMENTS * 3
    assert 30 <= through_time.MOST_ELEMENTS // per_example < 60
    output, _ = module(inputs)
    way = torch.randn_like(output)
    whole = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way)))
    halves = [
        read_replay(
            replay_recurrent(RecurrentUse(module, inputs[:, rows], output[:, rows], way[:, rows]))
        )
        for rows in (slice(0, 30), slice(30, 60))
    ]  # fmt: skip
    for number, path in enumerate(whole.paths):
        joined = np.hypot(*(half.paths[number].hidden.norms for half in halves))
        assert path.hidden.norms == pytest.approx(joined, rel=1e-6)


def test_few_examples_stand_for_the_batch_where_that_is_asked() -> None:
    module, inputs = nn.GRU(3, 4).double(), torch.randn(5, 7, 3, dtype=torch.float64)
    output, _ = module(inputs)
    way = torch.randn_like(output)
    few = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way), most_examples=2))
    rows = [0, 3]
    chosen = read_replay(replay_recurrent(RecurrentUse(module, inputs[:, rows], output[:, rows], way[:, rows])))
    assert few.example_count == 2
    assert few.paths[0].hidden.norms == pytest.approx(chosen.paths[0].hidden.norms)


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_a_gradient_that_explodes_is_measured_though_roundings_would_grow_as_fast(kind: str) -> None:
    module, inputs = KINDS[kind](3, 32), torch.randn(60, 4, 3)
    nn.init.normal_(module.weight_hh_l0, std=1.0)
    output, _ = module(inputs)
    way = torch.zeros_like(output)
    way[-1] = torch.randn(4, 32)
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way)))
    assert found.not_measured is None
    assert found.difference is not None
    assert found.difference < 1e-5
    state = module(inputs[:30])[1]
    state = tuple(part.detach().requires_grad_() for part in (state if isinstance(state, tuple) else (state,)))
    (module(inputs[30:], state if len(state) > 1 else state[0])[0] * way[30:]).sum().backward()
    assert state[0].grad is not None
    assert float(state[0].grad.norm()) == pytest.approx(found.paths[0].hidden.norms[29], rel=0.05)


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_a_replay_that_disagrees_is_refused(kind: str) -> None:
    module, inputs = KINDS[kind](3, 4), torch.randn(5, 2, 3)
    output, _ = module(inputs)
    with torch.no_grad():
        module.weight_hh_l0.add_(0.1)
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, torch.ones_like(output))))
    assert found.paths == ()
    assert found.not_measured is not None
    assert "differs from the fused layer" in found.not_measured
    output = output.detach().clone()
    output[0, 0, 0] = math.nan
    assert read_replay(replay_recurrent(RecurrentUse(module, inputs, output, output))).paths == ()


def test_an_empty_batch_is_said() -> None:
    module = nn.GRU(3, 4)
    inputs, output = torch.zeros(5, 0, 3), torch.zeros(5, 0, 4)
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, output)))
    assert found.paths == ()
    assert found.not_measured == "its batch is empty"


@pytest.mark.parametrize("level", [1e-35, 1e-12, 1e15])
def test_gains_do_not_depend_on_the_size_of_the_loss(level: float) -> None:
    module, inputs = nn.RNN(3, 4), torch.randn(60, 2, 3)
    output, _ = module(inputs)
    way = torch.zeros_like(output)
    way[-1] = 1.0
    plain, scaled = (
        read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way * factor))).paths[0].hidden
        for factor in (1.0, level)
    )
    assert scaled.gains == pytest.approx(plain.gains, rel=1e-4)
    assert scaled.norms == pytest.approx(plain.norms * level, rel=1e-4, abs=0.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_formats_are_replayed_in_single(dtype: torch.dtype) -> None:
    module, inputs = nn.LSTM(3, 4).to(dtype), torch.randn(8, 2, 3, dtype=dtype)
    output, _ = module(inputs)
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, torch.ones_like(output))))
    assert found.not_measured is None


def test_a_linear_recurrence_has_the_half_life_of_its_weight() -> None:
    module = nn.RNN(1, 1, nonlinearity="relu", bias=False).double()
    with torch.no_grad():
        module.weight_hh_l0.fill_(0.5)
        module.weight_ih_l0.fill_(1.0)
    inputs = torch.ones(200, 1, 1, dtype=torch.float64)
    output, _ = module(inputs)
    way = torch.zeros_like(output)
    way[-1] = 1.0
    found = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way)))
    assert found.paths[0].hidden.half_life_steps == pytest.approx(1.0)
    assert found.paths[0].hidden.gains[:10] == pytest.approx(0.5 ** np.arange(10))


@pytest.mark.parametrize("cell_kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_cells_called_in_a_loop_say_what_the_fused_layer_says(cell_kind: Any) -> None:
    fused_kind = {nn.RNNCell: nn.RNN, nn.LSTMCell: nn.LSTM, nn.GRUCell: nn.GRU}[cell_kind]
    module = fused_kind(3, 4).double()
    cell = cell_kind(3, 4).double()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data.copy_(getattr(module, name + "_l0").data)
    inputs = torch.randn(9, 2, 3, dtype=torch.float64)
    output, _ = module(inputs)
    state, calls = None, []
    for one in inputs:
        state = cell(one, state)
        calls.append(state[0] if isinstance(state, tuple) else state)
        calls[-1].retain_grad()
    calls[-1].sum().backward()
    way = torch.zeros_like(output)
    way[-1] = 1.0
    fused = read_replay(replay_recurrent(RecurrentUse(module, inputs, output, way))).paths[0].hidden
    looped = fade_of_calls([float(call.grad.norm()) for call in calls])
    assert looped.norms == pytest.approx(fused.norms)
    assert looped.gains == pytest.approx(fused.gains)
    assert looped.half_life_steps == pytest.approx(fused.half_life_steps)


@given(st.floats(0.3, 3.0).filter(lambda factor: abs(factor - 1.0) > 0.01), st.integers(2, 60))
def test_half_life_of_a_geometric_fade(factor: float, steps: int) -> None:
    expected = -1.0 / math.log2(factor)
    assert half_life_steps(factor ** np.arange(steps)) == pytest.approx(expected, rel=1e-9)


def test_half_life_at_its_edges() -> None:
    assert half_life_steps(np.ones(5)) == math.inf
    assert math.isnan(half_life_steps(np.array([1.0])))
    assert math.isnan(half_life_steps(np.array([])))
    assert half_life_steps(np.array([1.0, 0.5, 0.0, 0.0])) == pytest.approx(1.0)
    assert half_life_steps(np.array([1.0, 0.5, math.nan, 8.0])) == pytest.approx(1.0)
    assert half_life_steps(np.array([1.0, 1e-10, 1e-20, 1e-40, 1e-40])) == pytest.approx(math.log10(2) / 10)
    silent = fade_of_calls([0.0, 0.0])
    assert np.isnan(silent.gains).all()
    assert math.isnan(silent.half_life_steps)
