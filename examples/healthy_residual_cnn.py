"""Classify handwritten digits with a small convolutional network with batch normalisation and residual blocks."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class ResidualBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = self.relu(self.norm1(self.conv1(features)))
        return self.relu(self.norm2(self.conv2(inner)) + features)


def make_model(channels: int = 16, block_count: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        *(ResidualBlock(channels) for _ in range(block_count)),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * channels, 10),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    labels = torch.tensor(digits.target)
    is_held_out = torch.arange(len(labels)) % 6 == 0
    training_set = TensorDataset(images[~is_held_out], labels[~is_held_out])
    loader = DataLoader(training_set, batch_size=50, shuffle=True)

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr, momentum=0.9, weight_decay=1e-4)

    for epoch in range(arguments.epochs):
        model.train()
        total_loss = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(targets)
        model.eval()
        with torch.no_grad():
            is_correct = model(images[is_held_out]).argmax(dim=1) == labels[is_held_out]
        loss_mean, accuracy = total_loss / len(training_set), is_correct.float().mean().item()
        print(f"epoch {epoch + 1:3d}  loss {loss_mean:.4f}  held-out accuracy {accuracy:.1%}", flush=True)


if __name__ == "__main__":
    main()
