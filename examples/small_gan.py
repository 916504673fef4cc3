"""Train a generator and a discriminator against each other on points drawn around a ring."""

import argparse
import math

import torch
from torch import nn


def draw_ring(count: int) -> torch.Tensor:
    angle = 2.0 * math.pi * torch.rand(count)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        torch.manual_seed(arguments.seed)

    generator = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1)
    )
    generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loss_fn = nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(arguments.batch_size, 1), torch.zeros(arguments.batch_size, 1)

    for step in range(arguments.steps):
        real = draw_ring(arguments.batch_size)
        fake = generator(torch.randn(arguments.batch_size, 8))

        discriminator_optimizer.zero_grad()
        real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        discriminator_loss = loss_fn(real_logits, ones) + loss_fn(fake_logits, zeros)
        discriminator_loss.backward()
        discriminator_optimizer.step()

        generator_optimizer.zero_grad()
        generator_loss = loss_fn(discriminator(fake), ones)
        generator_loss.backward()
        generator_optimizer.step()

        if (step + 1) % 100 == 0:
            accuracy = 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean()).item()
            radius = fake.detach().norm(dim=1)
            print(
                f"step {step + 1:5d}  loss {discriminator_loss.item():.3f} / {generator_loss.item():.3f}"
                f"  discriminator accuracy {accuracy:.1%}  radius {radius.mean():.2f} ± {radius.std():.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
