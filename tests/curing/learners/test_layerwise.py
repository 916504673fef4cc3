import pytest
import torch
from torch import Tensor, nn

from gradiometer.curing.learners.layers_called import as_axes, layers_called
from gradiometer.curing.learners.layerwise import inputs_of, undisturbed


class Lively(nn.Module):
    """Changes its own buffers, draws numbers and keeps parts in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("nothing", None)
        self.first = nn.Linear(4, 5)
        self.norm = nn.BatchNorm1d(5)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(5, 2).eval()

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.seen + 1.0
        noise = torch.rand(()) if self.training else 0.0
        return self.second(self.drop(self.norm(self.first(x)).relu_()) + noise)


def lively() -> Lively:
    torch.manual_seed(4)
    return Lively()


def test_gives_what_a_layer_gets_without_dropout_and_normalised_by_the_batch() -> None:
    model, inputs = lively(), torch.randn(40, 4)
    given = inputs_of(model, model.second.weight, inputs, model.forward)
    drive = nn.functional.linear(inputs, model.first.weight, model.first.bias)
    expected = ((drive - drive.mean(0)) / (drive.var(0, correction=0) + 1e-5).sqrt()).relu()
    assert torch.allclose(given, expected, atol=1e-5)
    assert not given.requires_grad


@pytest.mark.parametrize("fails", [False, True])
def test_leaves_a_model_and_the_random_numbers_as_they_were(fails: bool) -> None:
    model = lively()
    buffers = {name: (id(buffer), buffer.clone()) for name, buffer in model.named_buffers()}
    modes = {name: module.training for name, module in model.named_modules()}
    before = torch.get_rng_state()
    try:
        with undisturbed(model):
            model.forward(torch.randn(8, 4))
            assert int(model.norm.num_batches_tracked) == 1
            if fails:
                raise KeyError("the script's own")
    except KeyError:
        assert fails
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert torch.equal(torch.get_rng_state(), before)
    for name, buffer in model.named_buffers():
        assert (id(buffer), buffer.tolist()) == (buffers[name][0], buffers[name][1].tolist()), name


def test_takes_rows_of_sequences_and_keeps_no_more_than_it_may() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    sequences = torch.randn(10, 7, 3)
    assert torch.equal(inputs_of(model, model[0].weight, sequences, model.forward), sequences.reshape(70, 3))
    # 256 examples of 2¹⁷ numbers are more than enough: what comes after them is not looked at.
    wide = torch.zeros(520, 1).expand(520, 2**15)
    model = nn.Sequential(nn.Linear(2**15, 1))
    assert len(inputs_of(model, model[0].weight, wide, model.forward)) == 520
    assert inputs_of(model, model[0].weight, wide.repeat(2, 1), model.forward).shape[0] < 1040


def test_never_runs_a_model_on_a_single_example_left_over() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert len(inputs_of(model, model[1].weight, torch.randn(257, 2), model.forward)) == 257


@pytest.mark.parametrize(
    ("call", "activation"),
    [
        (lambda x, w: torch.sigmoid(nn.functional.linear(x, w)), "sigmoid"),
        (lambda x, w: nn.functional.linear(x, w).tanh_(), "tanh"),
        (lambda x, w: nn.functional.relu(nn.functional.linear(x, w), inplace=True), "relu"),
        (lambda x, w: nn.functional.linear(x, w).add_(x).relu(), ""),
        (lambda x, w: nn.functional.linear(x, w).exp(), ""),
        (lambda x, w: nn.functional.prelu(nn.functional.linear(x, w), torch.ones(1)), ""),
        (lambda x, w: (h := nn.functional.linear(x, w)).tanh() + x * h, ""),
    ],
)
def test_knows_the_activation_that_alone_takes_what_a_layer_gives(call, activation: str) -> None:
    weight = torch.eye(3)
    (found,) = layers_called(lambda x: call(x, weight), torch.randn(2, 3))
    assert found.weight is weight
    assert found.activation == activation


def test_knows_which_convolutions_can_give_back_their_input() -> None:
    x, weight = torch.randn(2, 1, 5, 5), torch.randn(1, 1, 3, 3)
    calls = layers_called(
        lambda x: [
            nn.functional.conv2d(x, weight, stride=2, padding=(1, 0)),
            nn.functional.conv2d(x, weight, padding="same"),
            nn.functional.conv2d(x[0], weight),
            nn.functional.conv_transpose2d(x, weight),
        ],
        x,
    )
    assert [call.is_reversible for call in calls] == [True, False, False]
    assert calls[0].convolution == {"stride": (2, 2), "padding": (1, 0), "dilation": (1, 1), "groups": 1}
    assert as_axes([3], "stride", 2) == (3, 3)
