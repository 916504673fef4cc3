"""Classify handwritten digits with a leaky ReLU network whose every step overshoots."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16.0
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = nn.Sequential(
        nn.Linear(64, 128),
        nn.LeakyReLU(0.1),
        nn.Linear(128, 128),
        nn.LeakyReLU(0.1),
        nn.Linear(128, 128),
        nn.LeakyReLU(0.1),
        nn.Linear(128, 10),
    )
    optimizer = torch.optim.RMSprop(model.parameters(), lr=arguments.lr, alpha=0.9)
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(arguments.epochs):
        total_loss, correct_count = 0.0, 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = loss_fn(outputs, targets)
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(targets)
            correct_count += int((outputs.argmax(dim=1) == targets).sum())
        loss_mean, accuracy = total_loss / len(labels), correct_count / len(labels)
        print(f"epoch {epoch + 1:3d}  loss {loss_mean:.4f}  accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
