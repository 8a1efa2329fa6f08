"""Which joint angles put a robot arm's hand at a given point? Elbow up or elbow down (Bishop 1994).

The PyTorch face: a backbone of one's own, a mixture head on top. The density proposes angles; the forward function,
which is known, checks and refines them.
"""

import torch
from matplotlib import pyplot as plt
from torch import nn

import manymodes as mm

X, y = (torch.tensor(part, dtype=torch.float32) for part in mm.datasets.make_robot_arm(1200, random_state=0))
train, test = slice(0, 1000), slice(1000, None)
hand = mm.datasets.robot_arm_position

torch.manual_seed(0)
backbone = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
head = mm.nn.MixtureHead(
    64, target_dim=2, n_components=3, family=mm.distributions.FullNormal, min_scale=0.01
)  # without noise the scales would shrink for ever, and the fit would care for the easiest rows only
network = mm.nn.MixtureDensityNetwork(backbone, head)
mm.fit(network, (X[train], y[train]), max_epochs=100, batch_size=64, lr=5e-3, weight_decay=0.0, random_state=0)

with torch.no_grad():
    density = network(X[test])
for name, angles in {"mean": density.mean, "highest mode": density.mode}.items():
    error = (hand(angles) - X[test]).square().sum(-1).mean().sqrt()
    print(f"The {name} puts the hand {error:.4f} away from its goal (root mean square).")

found = mm.inverse.solve(density, hand, X[test], bounds=mm.datasets.robot_arm_ranges())
known = torch.tensor(mm.datasets.robot_arm_solutions(X[test]))
agreement = mm.inverse.solution_agreement(found.within(1e-5), known, tolerance=0.05)
print(f"Refined, the best candidate is {found.error[:, 0].max():.0e} away at most.")
print(f"Of all ways to reach the goals, {agreement.summary()['recall']:.1%} were found.")

goal = int((found.within(1e-5).mask.sum(1) >= 2).int().argmax())  # one that is reached in two ways
_, axes = plt.subplots(figsize=(5, 5))
for angles in found.y[goal, :2]:
    joints = mm.datasets.robot_arm_joints(angles)
    axes.plot(*joints.mT, "o-", label=f"angles {angles[0]:.2f} and {angles[1]:.2f}")
axes.plot(*X[test][goal], "k*", ms=14, label="goal")
axes.set_aspect("equal")
axes.legend()
