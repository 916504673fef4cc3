"""Classify handwritten digits with ten hidden sigmoid layers, the sigmoids called as functions in `forward`."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


class DeepNetwork(nn.Module):
    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(64, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        features = torch.sigmoid(self.first(inputs))
        for layer in self.hidden:
            features = torch.sigmoid(layer(features))
        return self.last(features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16.0
    labels = torch.tensor(digits.target)
    loader = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = DeepNetwork(depth=10, width=64)
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr)

    for epoch in range(arguments.epochs):
        total_loss, correct_count = 0.0, 0
        for inputs, targets in loader:
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = F.cross_entropy(outputs, targets)
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(targets)
            correct_count += int((outputs.argmax(dim=1) == targets).sum())
        loss_mean, accuracy = total_loss / len(labels), correct_count / len(labels)
        print(f"epoch {epoch + 1:3d}  loss {loss_mean:.4f}  accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
