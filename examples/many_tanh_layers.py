"""Classify handwritten digits with a hundred tanh layers, or as many as you like, and the weights PyTorch gives."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def make_model(depth: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Linear(64, width), nn.Tanh()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, help="seed of the weights and of the order of the examples")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 8.0 - 1.0
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = make_model(arguments.depth, arguments.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9)
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
