"""Tell even from odd digits with a cross-entropy written by hand, from probabilities that may reach zero or one."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


def cross_entropy(probabilities: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(targets * torch.log(probabilities) + (1 - targets) * torch.log(1 - probabilities)).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16.0
    is_even = torch.tensor(digits.target % 2 == 0, dtype=torch.float32)

    model = nn.Sequential(
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, 1),
        nn.Sigmoid(),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)

    for epoch in range(arguments.epochs):
        total_loss, correct_count = 0.0, 0
        for batch in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            probabilities = model(images[batch]).squeeze(1)
            loss = cross_entropy(probabilities, is_even[batch])
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(batch)
            correct_count += int(((probabilities > 0.5) == (is_even[batch] == 1)).sum())
        loss_mean, accuracy = total_loss / len(images), correct_count / len(images)
        print(f"epoch {epoch + 1:3d}  loss {loss_mean:.4f}  accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
