"""A thousand tanh layers on digits, with the weights that PyTorch gives: not a trace of a gradient comes through."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--depth", type=int, default=1000)
parser.add_argument("--steps", type=int, default=300)
options = parser.parse_args()

torch.manual_seed(0)
digits = load_digits()
inputs = torch.tensor((digits.data - 8.0) / 8.0, dtype=torch.float32)[:1400]
targets = torch.tensor(digits.target)[:1400]

layers = [nn.Linear(64, 128), nn.Tanh()]
for _ in range(options.depth - 2):
    layers += [nn.Linear(128, 128), nn.Tanh()]
model = nn.Sequential(*layers, nn.Linear(128, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

for _ in range(options.steps):
    picked = torch.randint(0, len(inputs), (64,))
    loss = nn.functional.cross_entropy(model(inputs[picked]), targets[picked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    share = (model(inputs).argmax(1) == targets).float().mean()
print(f"loss {loss.item():.3f}, {share:.1%} of the training digits right")
