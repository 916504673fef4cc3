"""Specimens that need a script of their own: each a training that one cure by itself makes better."""

SURE_AND_WRONG = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :3] > 0).float()
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 3), nn.Sigmoid())
nn.init.constant_(model[-2].bias, -8.0)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.mse_loss(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""A squared error behind a sigmoid that starts out sure of a no."""

PRICES = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = 500 + 300 * inputs[:, :1] * inputs[:, 1:2]
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.mse_loss(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Targets of mean 500 and spread 300 under Adam, whose steps are too small for them."""

PATTERNS = """\
import torch
from torch import nn

numbers = torch.Generator().manual_seed(1)
patterns = torch.randint(0, 2, (4, 16), generator=numbers).float()
targets = torch.randint(0, 4, (512,), generator=numbers)
inputs = (patterns[targets] - (torch.rand(512, 16, generator=numbers) < 0.1).float()).abs()
layers = [nn.Linear(16, 32), nn.Sigmoid()]
for _ in range(4):
    layers += [nn.Linear(32, 32), nn.Sigmoid()]
model = nn.Sequential(*layers, nn.Linear(32, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(STEPS):
    picked = torch.randperm(512)[:32]
    loss = nn.functional.cross_entropy(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Four patterns of sixteen bits, one in ten turned over, before five sigmoid layers that learn nothing of them."""

FIRST_OF_MANY = """\
import torch
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, sequences):
        outputs, _ = self.rnn(sequences)
        return self.head(outputs[:, -1])


model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
for step in range(STEPS):
    targets = torch.randint(0, 2, (32, 1)).float()
    inputs = nn.functional.pad(2 * targets - 1, (0, 34)).unsqueeze(2)
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""The first of 35 numbers is to be told at the end, before a plain recurrence, whose memory does not reach so far."""

FIRST_BEFORE_GATES = FIRST_OF_MANY.replace("nn.RNN(", "nn.LSTM(")
"""The same before an LSTM, whose forget gates stand at one half."""

TWINS = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
for layer in (model[0], model[2]):
    nn.init.constant_(layer.weight, 0.1)
    nn.init.zeros_(layer.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Two hidden layers of identical units."""

THOUSANDFOLD = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
inputs[:, 7] = 1000 * inputs[:, 7] + 300
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""One feature a thousand times larger than the others."""

NEVER_ZEROED = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    loss.backward()
    optimizer.step()
"""
"""Gradients pile up from the first step to the last."""

NORMALISED_LATE = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 32))
        self.norm = nn.LayerNorm(32)

    def forward(self, x):
        return self.norm(x + self.body(x))


model = nn.Sequential(nn.Linear(8, 32), *(Block() for _ in range(12)), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Twelve residual blocks, each normalised behind its sum, under an Adam that starts at its full rate."""

DROWNED = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
layers = [nn.Linear(8, 32), nn.ReLU(), nn.Dropout(DROPPED)]
for _ in range(2):
    layers += [nn.Linear(32, 32), nn.ReLU(), nn.Dropout(DROPPED)]
model = nn.Sequential(*layers, nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=DECAY)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Dropout that leaves a tenth, or a decay of 0.05: `DROPPED` and `DECAY` are to be filled in."""

ROUNDED_AWAY = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] > 0).float()
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)).bfloat16()
optimizer = torch.optim.Adam(model.parameters(), lr=0.0002)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    scores = model(inputs[picked].bfloat16()).float()
    loss = nn.functional.binary_cross_entropy_with_logits(scores, targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Steps of a ten-thousandth, of which most are rounded away: the weights are in bfloat16."""

BELOW_THE_FLOOR = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] * inputs[:, 1:2] > 0).float()
model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.003, eps=1e-16)
for step in range(STEPS):
    picked = torch.randperm(256)[:32]
    with torch.autocast("cpu", dtype=torch.float16):
        scores = model(inputs[picked])
    loss = 1e-7 * nn.functional.binary_cross_entropy_with_logits(scores.float(), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""A loss in small units before layers that compute in float16, where its gradients are zero."""

TWO_AT_A_TIME = """\
import torch
from torch import nn

inputs = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
targets = (inputs[:, :1] > 0).float()
layers = [nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()]
model = nn.Sequential(*layers, nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for step in range(STEPS):
    picked = torch.randperm(256)[:2]
    loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
"""
"""Batch normalisation of two examples."""

SCRIPTS: dict[str, str] = {
    "exchange_normalisation": TWO_AT_A_TIME,
    "redraw_recurrent_weights": FIRST_OF_MANY,
    "open_forget_gates": FIRST_BEFORE_GATES,
    "break_symmetry": TWINS,
    "standardise_input": THOUSANDFOLD,
    "exchange_recurrence:gru": FIRST_OF_MANY,
    "exchange_recurrence:lstm": FIRST_OF_MANY,
    "fix_loss_pairing:likelihood": SURE_AND_WRONG,
    "scale_output_to_targets:500/300": PRICES,
    "pretrain_layers": PATTERNS,
    "pretrain_layers:autoencoder": PATTERNS,
    "zero_gradients": NEVER_ZEROED,
    "warm_up_learning_rate:100": NORMALISED_LATE,
    "reduce_regularisation": DROWNED.replace("DROPPED", "0.9").replace("DECAY", "0.0"),
    "reduce_regularisation:decay": DROWNED.replace("DROPPED", "0.0").replace("DECAY", "0.05"),
    "keep_weights_in_float32": ROUNDED_AWAY,
    "scale_loss": BELOW_THE_FLOOR,
}
"""For each cure: the script, in which `STEPS` is to be filled in."""
