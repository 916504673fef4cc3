"""Exchange plain recurrence for LSTM or GRU.

What it changes:
    Every trained `nn.RNN` becomes a `nn.GRU` (`exchange_recurrence:gru`, the default) or a `nn.LSTM` (`:lstm`) with
    the same sizes, layers, directions and dropout, every `nn.RNNCell` a `nn.GRUCell`. Weights are drawn as torch does,
    the bias of the gate that keeps the memory (an LSTM's forget gate, a GRU's update gate) is 1, and 3 where the
    diagnosed run has sequences of 40 steps and more, as with `open_forget_gates`. The new parameters take the old
    ones' places in the optimizer's groups.

    The rest of the script stays: a GRU is called as an RNN is. An LSTM has a cell state too, which the script knows
    nothing of: it stays inside, begins at zero, and is carried on where the script hands back the state that the layer
    returned last, detached or not. A state that the script has changed comes with a cell state of zeros.

When it helps:
    Memory that fades or explodes: through a plain recurrence the gradient is multiplied by the same matrix and slope
    at every step. Gates let it pass: with a bias of 1 a gate keeps 73 % of the memory a step, with 3 it keeps 95 %,
    not 50 %.

What it costs:
    Three (GRU) or four (LSTM) times the weights and the arithmetic of that layer, and whatever the old weights were:
    it is for training from scratch. Checkpoints keep their names with a GRU, but not their shapes; with an LSTM
    `rnn.weight_ih_l0` becomes `rnn.lstm.weight_ih_l0`. A list of parameters that the script has made beforehand, to
    clip them, still holds the old ones. For `nn.RNNCell` there is no LSTM: its cell state would have to travel from
    call to call beside a state that scripts mask, mix and stack.

Source:
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; Gers, Schmidhuber, Cummins,
    "Learning to forget", Neural Computation 2000; Cho et al., EMNLP 2014 (GRU); Jozefowicz, Zaremba, Sutskever, "An
    empirical exploration of recurrent network architectures", ICML 2015 (a forget bias of 1).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gradiometer.curing.cure import Labelled, Moment, Patient, Placement, listed_in_words
from gradiometer.curing.gating import chosen_bias
from gradiometer.curing.standing_in import are_optimized, is_root, put_in_place, tensors_of
from gradiometer.errors import CureRefusedError, SettingsError

TARGETS = ("gru", "lstm")
"""What a plain recurrence can be exchanged for."""

PlainRecurrence = nn.RNN | nn.RNNCell


class InnerCell(nn.Module):
    """An LSTM that is called as an RNN is: its cell state stays inside.

    Args:
        lstm: The LSTM.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self._last: tuple[Tensor, Tensor, int | Tensor] | None = None

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run it from a hidden state, with the cell state that belongs to that."""
        output, (hidden, cell) = self.lstm(input, None if hx is None else (hx, self._cell_for(hx)))
        self._last = (hidden.detach(), cell, hidden.clone() if hidden.is_inference() else hidden._version)
        return output, hidden

    def _cell_for(self, hx: Tensor) -> Tensor:
        """The cell state of the last call where this is its hidden state, detached if that is; else zeros."""
        if self._last is None:
            return torch.zeros_like(hx)
        hidden, cell, mark = self._last
        is_whole = torch.equal(hidden, mark) if isinstance(mark, Tensor) else hidden._version == mark
        if hx.shape != hidden.shape or hx.data_ptr() != hidden.data_ptr() or not is_whole:
            return torch.zeros_like(hx)
        return cell if hx.requires_grad else cell.detach()

    def __getattr__(self, name: str) -> Any:
        """Let the LSTM answer what else is asked (`hidden_size`)."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "lstm" not in self._modules:
                raise
            return getattr(self.lstm, name)

    def __getstate__(self) -> dict[str, Any]:
        """A copy begins anew."""
        return {**self.__dict__, "_last": None}


_INNER_CELL = '''\
class InnerCell(nn.Module):
    """An LSTM that is called as an RNN is: its cell state stays inside."""

    def __init__(self, lstm):
        super().__init__()
        self.lstm = lstm
        self._last = None

    def forward(self, input, hx=None):
        output, (hidden, cell) = self.lstm(input, None if hx is None else (hx, self._cell_for(hx)))
        self._last = (hidden.detach(), cell, hidden.clone() if hidden.is_inference() else hidden._version)
        return output, hidden

    def _cell_for(self, hx):
        if self._last is None:
            return torch.zeros_like(hx)
        hidden, cell, mark = self._last
        is_whole = torch.equal(hidden, mark) if hidden.is_inference() else hidden._version == mark
        if hx.shape != hidden.shape or hx.data_ptr() != hidden.data_ptr() or not is_whole:
            return torch.zeros_like(hx)
        return cell if hx.requires_grad else cell.detach()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_") or "lstm" not in self._modules:
                raise
            return getattr(self.lstm, name)

    def __getstate__(self):
        return {**self.__dict__, "_last": None}
'''

_LOOP = """\
random_numbers = torch.Generator().manual_seed(<SEED>)
modules = dict(model.named_modules(remove_duplicate=False))
for first_place, new in gated.items():
    old = modules[first_place]
    weight = next(old.parameters())
    new = new.to_empty(device=weight.device).to(weight.dtype).train(old.training)
    size, bound = old.hidden_size, old.hidden_size**-0.5
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=random_numbers)
            if name.startswith("bias"):  # the gate that keeps the memory is second
                drawn[size : 2 * size] = <BIAS> if name.startswith("bias_ih") else 0.0
            parameter.copy_(drawn)
<MADE>
    for place in (place for place, module in modules.items() if module is old):
        parent, _, child = place.rpartition(".")
        setattr(model.get_submodule(parent), child, <NEW>)
"""


@dataclass(frozen=True, slots=True)
class ExchangeRecurrence(Labelled):
    """Put gated layers in the place of plain recurrent ones.

    Attributes:
        to: One of `TARGETS`; None stands for `gru`, which is called as an RNN is.
        seed: Seed of the generator that draws the weights.
    """

    name: ClassVar[str] = "exchange_recurrence"
    moment: ClassVar[Moment] = "construction"
    placement: ClassVar[Placement] = "before_optimizer"

    to: str | None = None
    seed: int = 0

    @classmethod
    def parse(cls, setting: str) -> "ExchangeRecurrence":
        """Read what to exchange for; empty leaves it to be chosen.

        Raises:
            SettingsError: It is not one of `TARGETS`.
        """
        if setting and setting not in TARGETS:
            raise SettingsError(f"a recurrence can't be exchanged for {setting!r}; choose {', '.join(TARGETS)}")
        return cls(setting or None)

    @property
    def setting(self) -> str | None:
        """As it is written behind the name."""
        return self.to

    def apply(self, patient: Patient) -> str:
        """Put the new layers in the old ones' places, and their parameters in those of the old ones."""
        generator = torch.Generator().manual_seed(self.seed)
        replaced: dict[str, nn.Module] = {}
        for place, old in self._layers(patient).items():
            new = self._made(old)
            draw_gated(new, old.hidden_size, generator, chosen_bias(patient))
            exchange_parameters(patient, old, new)
            replaced[place] = InnerCell(new).train(old.training) if isinstance(new, nn.LSTM) else new
        put_in_place(patient.model, replaced)
        kind = "an LSTM" if self.to == "lstm" else "a GRU"
        return f"plain recurrence became {kind} in {len(replaced)} layer(s): {listed_in_words(list(replaced))}"

    def _made(self, old: PlainRecurrence) -> nn.Module:
        """A layer of the old one's sizes whose weights are still to be drawn."""
        kind, sizes, settings = self._constructor(old)
        weight = next(old.parameters())
        made: nn.Module = getattr(nn, kind)(*sizes, **settings, device="meta")
        return made.to_empty(device=weight.device).to(weight.dtype).train(old.training)

    def _constructor(self, old: PlainRecurrence) -> tuple[str, tuple[int, int], dict[str, Any]]:
        """Class, sizes and settings of what takes an old layer's place; settings that are torch's own are left out."""
        sizes = (old.input_size, old.hidden_size)
        if isinstance(old, nn.RNNCell):
            return "GRUCell", sizes, {} if old.bias else {"bias": False}
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        given = {name: getattr(old, name) for name, value in usual.items() if getattr(old, name) != value}
        if old.num_layers == 1:
            given.pop("dropout", None)
        return "LSTM" if self.to == "lstm" else "GRU", sizes, given

    def _layers(self, patient: Patient) -> dict[str, PlainRecurrence]:
        """The layers to exchange, by the first of their places.

        Raises:
            CureRefusedError: There are none; the reason says why.
        """
        found = {place: module for place, module in patient.model.named_modules() if is_plain(module)}
        if not found:
            raise CureRefusedError("there is no nn.RNN or nn.RNNCell in this network")
        if self.to == "lstm":
            found = {place: module for place, module in found.items() if isinstance(module, nn.RNN)}
        if not found:
            raise CureRefusedError(
                "an LSTM's cell state would be lost between the calls of an nn.RNNCell, whose script hands on one "
                "state only; choose exchange_recurrence:gru"
            )
        found = {place: module for place, module in found.items() if not is_root(patient.model, place)}
        if not found:
            raise CureRefusedError("the recurrent layer is the whole model, and only a part of one can be exchanged")
        trained = {
            place: module
            for place, module in found.items()
            if are_optimized(module.parameters(), patient.parameter_groups)
        }
        if not trained:
            raise CureRefusedError("every plain recurrent layer is frozen, or not in this optimizer")
        free = {place: module for place, module in trained.items() if not is_bound(patient.model, module)}
        if not free:
            raise CureRefusedError("every plain recurrent layer shares weights with another or has hooks of its own")
        return free

    def snippet(self, patient: Patient) -> str:
        """The new layers, and a loop that draws their weights and puts them in place."""
        rows = []
        for place, old in self._layers(patient).items():
            kind, sizes, settings = self._constructor(old)
            given = ", ".join([*map(repr, sizes), *(f"{name}={value!r}" for name, value in settings.items())])
            rows.append(f'    "{place}": nn.{kind}({given}, device="meta"),\n')
        is_lstm = self.to == "lstm"
        made = "    stand_in = InnerCell(new).train(old.training)\n" if is_lstm else ""
        loop = _LOOP.replace("<SEED>", str(self.seed)).replace("<MADE>\n", made)
        loop = loop.replace("<BIAS>", str(chosen_bias(patient))).replace("<NEW>", "stand_in" if is_lstm else "new")
        classes = f"\n\n{_INNER_CELL}\n\n" if is_lstm else "\n"
        return f"import torch\nfrom torch import nn\n{classes}gated = {{\n{''.join(rows)}}}\n{loop}"


def is_plain(module: nn.Module) -> TypeGuard[PlainRecurrence]:
    """Whether a module is a plain recurrent layer of torch's own, with the weights that torch gave it."""
    if type(module) is nn.RNN:
        return set(module._parameters) == set(module._flat_weights_names)
    return type(module) is nn.RNNCell


def is_bound(model: nn.Module, module: nn.Module) -> bool:
    """Whether a module shares weights with another one, or has hooks that would be lost with it."""
    own = {id(parameter) for parameter in module.parameters()}
    others = (parameter for other in model.modules() if other is not module for parameter in other._parameters.values())
    return any(id(parameter) in own for parameter in others) or has_hooks(module)


def has_hooks(module: nn.Module) -> bool:
    """Whether the script has set hooks on a module."""
    return any(value for name, value in vars(module).items() if name.endswith("_hooks"))


def draw_gated(new: nn.Module, size: int, generator: torch.Generator, bias: float) -> None:
    """Draw weights as torch does, on the CPU in float32, and open the gate that keeps the memory to a bias."""
    bound = size**-0.5
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
            if name.startswith("bias"):
                drawn[size : 2 * size] = bias if name.startswith("bias_ih") else 0.0
            parameter.copy_(drawn)


def exchange_parameters(patient: Patient, old: nn.Module, new: nn.Module) -> None:
    """Put new parameters where the old ones of the same name are in the optimizer's groups."""
    partners = {id(parameter): new.get_parameter(name) for name, parameter in old.named_parameters()}
    prefix = "lstm." if isinstance(new, nn.LSTM) else ""
    for group in patient.parameter_groups:
        tensors = tensors_of(group)
        entries = group["params"] if isinstance(group["params"], list) else [group["params"]]
        for index, tensor in enumerate(tensors):
            partner = partners.get(id(tensor))
            if partner is None:
                continue
            if isinstance(entries[index], tuple):
                entries[index] = (_renamed(entries[index][0], prefix), partner)
                continue
            entries[index] = partner
            if "param_names" in group:
                group["param_names"][index] = _renamed(group["param_names"][index], prefix)
        group["params"] = entries
    if patient.optimizer is not None:
        for parameter in old.parameters():
            patient.optimizer.state.pop(parameter, None)


def _renamed(name: str, prefix: str) -> str:
    """A parameter's name with something put before its last part.

    Example:
        >>> _renamed("rnn.weight_hh_l0", "lstm.")
        'rnn.lstm.weight_hh_l0'
    """
    stem, dot, last = name.rpartition(".")
    return f"{stem}{dot}{prefix}{last}"
