"""Through time, in a full step: what recurrent layers were called with is replayed when the backward pass has ended.

The fused layers (`nn.RNN`, `nn.LSTM`, `nn.GRU`) are replayed by `through_time`, while weights still are what they were.
Cells in a loop show their gradients themselves: at the output of each call, and at the cell state of an `nn.LSTMCell`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradiometer.measuring.calls import Call, node_of
from gradiometer.measuring.collecting import Collector, Findings, FloatArray, LeftOut, StepSetting
from gradiometer.measuring.loops import Loop, base_name, find_loops, measured_places
from gradiometer.measuring.recurrent_arguments import RecurrentUse
from gradiometer.measuring.statistics import measure_norm
from gradiometer.measuring.through_time import Fade, Replay, ThroughTime, fade_of_calls, read_replay, replay_recurrent
from gradiometer.schema import Snapshot, TimeFade

RECURRENT_KINDS = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCellBase)
"""Modules that say of themselves that they are recurrent."""

MOST_SEQUENCES = 8
"""Sequences of a batch that are replayed, evenly spaced: the cost grows with them, the norms hardly change."""

MOST_REPEATS = 256
"""Calls of one fused layer that are replayed, where it is called once for each of a few time steps."""

MOST_POINTS = 512
"""Time steps that a fade keeps; of a longer one every second, third ... is left."""

Gradients = list[Tensor | None]


@dataclass(slots=True, eq=False)
class PendingReplay:
    """A call of a recurrent layer whose gradients are awaited.

    Attributes:
        call: The call.
        use: What it was called with, without gradients.
        state_node: Autograd node of its final hidden state.
        gradients: At its output, its final hidden state and its final cell state, as they come.
    """

    call: Call
    use: RecurrentUse
    state_node: tuple[Any, int] | None
    gradients: Gradients = field(default_factory=lambda: [None, None, None])


class RecurrenceCollector:
    """Collects one step's gradients through time, of the first call of each fused layer and of every cell in a loop."""

    def __init__(self, setting: StepSetting) -> None:
        self.setting = setting
        self.random_states: dict[int, Tensor] = {}
        self.pending: dict[str, list[PendingReplay]] = {}
        self.replays: dict[str, list[Replay]] = {}
        self.left_out: dict[str, str] = {}
        self.cells: set[str] = set()
        self.cell_states: list[tuple[Call, Tensor]] = []
        self.loops: list[Loop] = []
        self.loop_norms: dict[int, Tensor] = {}
        self.state_norms: dict[int, Tensor] = {}
        self.places: Any = {}
        self.scale: Tensor | None = None

    def before_call(self, call: Call, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Note the random state where dropout between layers is about to draw from it."""
        if next(module.parameters(), None) is not None:
            self.cells.add(base_name(call.layer))
        if isinstance(module, nn.RNNBase) and module.training and module.dropout > 0.0 and module.num_layers > 1:
            self.random_states[id(call)] = torch.get_rng_state()

    def after_call(
        self, call: Call, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """Keep what a recurrent layer was called with, and wait for its gradients."""
        if isinstance(module, nn.LSTMCell) and isinstance(output, tuple):
            self.watch_state(call, output[1])
        if not isinstance(module, (nn.RNN, nn.LSTM, nn.GRU)) or not isinstance(output, tuple):
            return
        name = base_name(call.layer)
        if name in self.replays:
            return
        values, state = output
        states = state if isinstance(state, tuple) else (state,)
        given = dict(zip(("input", "hx"), args, strict=False)) | kwargs
        use = RecurrentUse(
            module, given["input"], values, None, state=given.get("hx"), random_state=self.random_states.get(id(call))
        )
        pending = PendingReplay(call, use, node_of(states[0]))
        known = self.pending.setdefault(name, [])
        if known and not follows(pending, known[-1]):
            self.left_out[name] = "called more than once, not in a chain: its first call is measured"
            return
        if len(known) >= MOST_REPEATS:
            self.left_out[name] = f"its first {MOST_REPEATS} calls are measured"
            return
        known.append(pending)
        data = values.data if isinstance(values, PackedSequence) else values
        for place, tensor in enumerate((data, *states)):
            self.watch(tensor, pending, place)

    def watch(self, tensor: Tensor, pending: PendingReplay, place: int) -> None:
        """Keep the gradient at one of a call's outputs when it comes."""
        found = node_of(tensor)
        if found is None:
            return
        node, number = found

        def keep(gradients: tuple[Tensor | None, ...]) -> None:
            if pending.gradients[place] is None:
                pending.gradients[place] = gradients[number]

        node.register_prehook(self.setting.guarded(keep))

    def watch_state(self, call: Call, state: Tensor) -> None:
        """Measure the gradient at an LSTM cell's cell state when it comes."""
        found = node_of(state)
        if found is None:
            return
        node, number = found

        def measure(gradients: tuple[Tensor | None, ...]) -> None:
            gradient = gradients[number]
            if gradient is not None:
                self.state_norms.setdefault(id(call), measure_norm(gradient))

        node.register_prehook(self.setting.guarded(measure))

    def before_backward(self, site: str, tensors: tuple[Tensor, ...]) -> None:
        """Find the loops while autograd's nodes are held."""
        if not self.loops:
            fused = {*self.pending, *self.replays}
            self.loops = find_loops(self.setting.calls, frozenset(self.cells - fused))
            self.places = measured_places(self.loops)

    def on_gradient(self, call: Call, backward_pass: int, gradient: Tensor) -> None:
        """Measure the gradient at the output of a cell's call."""
        owner = self.places.get(call.node)
        if owner is not None:
            self.loop_norms.setdefault(id(owner), measure_norm(gradient))

    def after_backward(self, gradients: Mapping[int, Tensor]) -> None:
        """Replay what the pass has reached, and let go of it."""
        self.scale = self.setting.scale()
        reached = [
            name
            for name, calls in self.pending.items()
            if any(gradient is not None for one in calls for gradient in one.gradients)
        ]
        for name in reached:
            self.replays[name] = [replay_pending(pending) for pending in self.pending.pop(name)]
        self.places = {}

    def end(self) -> Findings:
        """Let go of the calls; the numbers become nouns on the host."""
        left_out = dict(self.left_out)
        unreached = tuple((name, "no gradient came to it") for name in self.pending)
        self.pending.clear()
        replays = self.replays
        known_loops = [known for loop in self.loops for known in self.norms_of_loop(loop)]
        scales = [] if self.scale is None else [self.scale]

        def read(snapshot: Snapshot, arrays: Sequence[FloatArray]) -> tuple[Snapshot, LeftOut]:
            host = iter(arrays)
            factor = 1.0 / float(next(host)[0]) if scales else 1.0
            fades: list[TimeFade] = []
            for name, parts in replays.items():
                found = [read_replay(replay, [next(host) for _ in replay.tensors()]) for replay in parts]
                reason = next((one.not_measured for one in found if one.not_measured is not None), None)
                if reason is not None:
                    left_out[name] = reason
                if len(found) == 1 or all(one.paths for one in found):
                    fades += fades_of_replays(name, found, factor)
            for layer, state, norms in known_loops:
                by_time = np.concatenate([next(host) for _ in norms])
                fades.append(filled(TimeFade(layer), fade_of_calls(by_time), state, factor))
            return replace(snapshot, fades=tuple(fades)), (*left_out.items(), *unreached)

        tensors = [tensor for parts in replays.values() for replay in parts for tensor in replay.tensors()]
        return Findings([*scales, *tensors, *(norm for _, _, norms in known_loops for norm in norms)], read)

    def norms_of_loop(self, loop: Loop) -> list[tuple[str, str, list[Tensor]]]:
        """The norms along a loop, of its outputs and of an LSTM cell's states: layer, which state, call by call."""
        found = []
        for state, norms in (("hidden", self.loop_norms), ("cell", self.state_norms)):
            known = [norms[id(call)] for call in loop.calls if id(call) in norms]
            if len(known) > 1:
                found.append((loop.layer, state, known))
        return found


def follows(later: PendingReplay, earlier: PendingReplay) -> bool:
    """Whether a call of a recurrent layer began with the state with which another one ended."""
    state = later.use.state
    hidden = state[0] if isinstance(state, tuple) else state
    return hidden is not None and earlier.state_node is not None and node_of(hidden) == earlier.state_node


def replay_pending(pending: PendingReplay) -> Replay:
    """Replay a call whose gradients have come."""
    output, hidden, cell = pending.gradients
    state_gradient = (hidden, cell) if isinstance(pending.use.module, nn.LSTM) else hidden
    use = replace(pending.use, output_gradient=output, state_gradient=state_gradient)
    return replay_recurrent(use, most_examples=MOST_SEQUENCES)


def fades_of_replays(name: str, found: list[ThroughTime], factor: float) -> list[TimeFade]:
    """A fused layer's fades; the time steps of calls that form a chain follow each other."""
    fades = []
    for number, path in enumerate(found[0].paths):
        place = TimeFade(name, path.layer, is_reverse=path.is_reverse, example_count=found[0].example_count)
        paths = [one.paths[number] for one in found]
        fades.append(filled(place, joined([one.hidden for one in paths]), "hidden", factor))
        if path.cell is not None:
            cells = [one.cell for one in paths if one.cell is not None]
            fades.append(filled(place, joined(cells), "cell", factor))
    return fades


def joined(fades: list[Fade]) -> Fade:
    """Fades of calls in a chain as one."""
    return fades[0] if len(fades) == 1 else fade_of_calls(np.concatenate([fade.norms for fade in fades]))


def filled(place: TimeFade, fade: Fade, state: str, factor: float) -> TimeFade:
    """A fade as a noun.

    Args:
        place: Layer and direction.
        fade: Its numbers.
        state: Which state it is of.
        factor: What norms are multiplied by, so that they are in true units.
    """
    count = len(fade.norms)
    stride = max(1, -(-count // MOST_POINTS))
    half_life = fade.half_life_steps
    return replace(
        place,
        state=state,
        step_count=count,
        stride=stride,
        norms=tuple(shown(float(norm) * factor) for norm in fade.norms[::stride]),
        gains=tuple(shown(float(gain)) for gain in fade.gains[::stride]),
        half_life_steps=None if math.isnan(half_life) else half_life,
        nonfinite_count=sum(not math.isfinite(norm) for norm in fade.norms),
    )


def shown(value: float) -> float | None:
    """A number with the digits that float32 has, None where it is not finite."""
    return float(f"{value:.8g}") if math.isfinite(value) else None


def start_recurrence(setting: StepSetting) -> Collector:
    """Collect a step's gradients through time."""
    found = RecurrenceCollector(setting)
    functions: dict[str, Callable[..., Any]] = {
        name: getattr(found, name)
        for name in ("before_call", "after_call", "on_gradient", "before_backward", "after_backward", "end")
    }
    return Collector(**functions)
