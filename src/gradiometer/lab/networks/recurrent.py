"""Recurrent networks: a layer that goes through a sequence, and a linear readout at its end or at every step.

Source:
    tanh RNN: Elman, "Finding structure in time", 1990, with torch's first weights; orthogonal recurrent weights: Saxe,
    McClelland, Ganguli, ICLR 2014; IRNN: Le, Jaitly, Hinton, "A simple way to initialize recurrent networks of
    rectified linear units", 2015; LSTM: Hochreiter and Schmidhuber, Neural Computation 1997, with the forget gate of
    Gers, Schmidhuber, Cummins 2000; GRU: Cho et al., EMNLP 2014.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gradiometer.lab.networks.drawing import seeded

IRNN_INPUT_SPREAD = 0.001
"""Standard deviation of the IRNN's weights from the input, as its authors draw them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of recurrent layer and how it begins.

    Attributes:
        kind: Which of torch's layers; `tanh` and `relu` are those of `nn.RNN`.
        weights: How weights from state to state are drawn; `uniform` leaves all of torch's.
        scale: What the identity, or the orthogonal matrix, is multiplied by.
        forget_bias: Bias of an LSTM's forget gate; None leaves torch's.
    """

    kind: Literal["tanh", "relu", "lstm", "gru"]
    weights: Literal["uniform", "orthogonal", "identity"] = "uniform"
    scale: float = 1.0
    forget_bias: float | None = None


TANH, ORTHOGONAL, IRNN = "tanh RNN", "tanh RNN, orthogonal", "IRNN"
LSTM_0, LSTM_1, LSTM_3, GRU = "LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, forget bias 3", "GRU"

CELLS: dict[str, Cell] = {
    TANH: Cell("tanh"),
    ORTHOGONAL: Cell("tanh", "orthogonal"),
    IRNN: Cell("relu", "identity"),
    LSTM_0: Cell("lstm", forget_bias=0.0),
    LSTM_1: Cell("lstm", forget_bias=1.0),
    LSTM_3: Cell("lstm", forget_bias=3.0),
    GRU: Cell("gru"),
}
"""The lab's cells by name."""


class SequenceNetwork(nn.Module):
    """A recurrent layer with a linear readout.

    Args:
        cell: The layer.
        inputs: Features of a time step.
        hidden: Units.
        outputs: What the readout gives.
        reads_every_step: It reads at every time step; else at the last one.
    """

    def __init__(self, cell: Cell, inputs: int, hidden: int, outputs: int, *, reads_every_step: bool = False) -> None:
        super().__init__()
        self.recurrent = layer_of(cell, inputs, hidden)
        self.readout = nn.Linear(hidden, outputs)
        self.reads_every_step = reads_every_step

    def forward(self, sequences: Tensor) -> Tensor:
        """What is read [example outputs], or [example time outputs], from sequences [example time inputs]."""
        states = self.recurrent(sequences)[0]
        read: Tensor = self.readout(states if self.reads_every_step else states[:, -1])
        return read


def layer_of(cell: Cell, inputs: int, hidden: int) -> nn.RNNBase:
    """Draw a recurrent layer; batches come first."""
    if cell.kind in ("lstm", "gru"):
        layer: nn.RNNBase = (nn.LSTM if cell.kind == "lstm" else nn.GRU)(inputs, hidden, batch_first=True)
    else:
        layer = nn.RNN(inputs, hidden, nonlinearity=cell.kind, batch_first=True)
    with torch.no_grad():
        if cell.weights != "uniform":
            redraw(layer, cell)
        if cell.forget_bias is not None:
            layer.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = cell.forget_bias
            layer.get_parameter("bias_hh_l0")[hidden : 2 * hidden] = 0.0
    return layer


def redraw(layer: nn.RNNBase, cell: Cell) -> None:
    """Give an ungated layer the recurrent weights of its cell, and biases of 0."""
    recurrent = layer.get_parameter("weight_hh_l0")
    if cell.weights == "identity":
        nn.init.eye_(recurrent)
        nn.init.normal_(layer.get_parameter("weight_ih_l0"), 0.0, IRNN_INPUT_SPREAD)
    else:
        nn.init.orthogonal_(recurrent)
    recurrent.mul_(cell.scale)
    layer.get_parameter("bias_ih_l0").zero_()
    layer.get_parameter("bias_hh_l0").zero_()


def draw_sequence_network(
    cell: Cell, sizes: tuple[int, int, int], seed: int, *, reads_every_step: bool = False
) -> SequenceNetwork:
    """Draw a network from a seed.

    Args:
        cell: Its recurrent layer.
        sizes: Features of a time step, hidden units, outputs.
        seed: The seed.
        reads_every_step: It reads at every time step; else at the last one.
    """
    with seeded(seed):
        return SequenceNetwork(cell, *sizes, reads_every_step=reads_every_step)
