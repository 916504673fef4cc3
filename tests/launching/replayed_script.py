"""Trains a small network; at a given step a number goes wrong in a given way, or the data are other ones each time."""

import os
import sys

import torch
from torch import nn


def main() -> None:
    kind, bad_step = sys.argv[1], int(sys.argv[2])
    if kind == "unseeded":
        torch.manual_seed(int.from_bytes(os.urandom(4), "little"))

    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    with open("written.txt", "a") as file:  # noqa: PTH123 - as scripts do it
        file.write("trained\n")

    for step in range(40):
        inputs, targets = torch.randn(32, 6), torch.randn(32, 3)
        is_bad = step == bad_step
        if kind == "batch" and is_bad:
            inputs[3, 2] = float("nan")
        optimizer.zero_grad()
        outputs = model(inputs)
        errors = outputs - targets
        if kind == "root" and is_bad:
            errors = outputs - outputs.detach()
            loss = torch.sqrt(errors.square().sum(1)).mean()
        elif kind == "overflow":
            scale = 1e8 if is_bad else 1.0
            loss = (outputs * scale).half().float().square().mean()
        elif kind == "division":
            loss = errors.square().sum() / (0.0 if is_bad else 32.0)
        elif kind == "jump" and is_bad:
            loss = 500.0 * errors.square().mean()
        else:
            loss = errors.square().mean()
        loss.backward()
        optimizer.step()
        print("step", step, "loss", loss.item())  # noqa: T201 - as scripts do


if __name__ == "__main__":
    main()
