"""Which joint angles put a two-link robot arm's hand at a given point? Elbow up or elbow down (Bishop 1994).

The PyTorch face: a backbone of one's own, a mixture head on top, and every candidate checked through the
forward model.
"""

import math

import torch
from torch import Tensor, nn

import manymodes as mm

LENGTHS = (0.8, 0.2)


def hand_position(angles: Tensor) -> Tensor:
    """Return where the hand is, (N, 2), for joint angles in radians, (N, 2)."""
    first, second = angles[:, 0], angles[:, 1]
    long, short = LENGTHS
    x = long * torch.cos(first) - short * torch.cos(first + second)
    y = long * torch.sin(first) - short * torch.sin(first + second)
    return torch.stack([x, y], dim=-1)


generator = torch.Generator().manual_seed(0)
low, high = torch.tensor([0.3, math.pi / 2]), torch.tensor([1.2, 3 * math.pi / 2])
angles = low + (high - low) * torch.rand(2000, 2, generator=generator)
hands = hand_position(angles)
train, test = slice(0, 1000), slice(1000, None)

torch.manual_seed(0)
backbone = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
network = mm.nn.MixtureDensityNetwork(backbone, mm.nn.MixtureHead(64, target_dim=2, n_components=5))
mm.fit(network, (hands[train], angles[train]), max_epochs=300, lr=5e-3, random_state=0)

with torch.no_grad():
    density = network(hands[test])
for name, candidate in {"mean": density.mean, "highest mode": density.mode}.items():
    error = (hand_position(candidate) - hands[test]).square().sum(-1).mean().sqrt()
    print(f"The {name} puts the hand {error:.4f} away from its goal (root mean square).")
