"""Classify handwritten digits with ten hidden sigmoid layers, as networks were built before 2010."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_model(depth: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(64, width), nn.Sigmoid()]
    for _ in range(depth - 1):
        layers += [nn.Linear(width, width), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, help="seed of the weights and of the order of the examples")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16.0
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = make_model(arguments.depth, arguments.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr)
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
