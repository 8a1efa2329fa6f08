"""Where does the wind come from? From the sea by day, from the land by night, and angles have no ends.

Directions are angles in radians. Components are von Mises densities, so 179 degrees and -179 degrees are neighbours,
and the mean direction is one on the circle.
"""

import numpy as np
import torch
from matplotlib import pyplot as plt

import manymodes as mm

rng = np.random.default_rng(0)
hour = rng.uniform(0, 24, 1500)
by_day = rng.random(1500) < 1 / (1 + np.exp(-3 * np.cos((hour - 14) / 24 * 2 * np.pi)))
wind = np.where(by_day, rng.vonmises(np.pi - 0.2, 8, 1500), rng.vonmises(-0.3, 4, 1500))  # the sea is in the west
clock = np.column_stack([np.cos(hour / 12 * np.pi), np.sin(hour / 12 * np.pi)])  # midnight has no jump
model = mm.MDNRegressor(family="von_mises", n_components=3, preset="fast", random_state=0).fit(clock, wind)

around = torch.linspace(-np.pi, np.pi, 361, dtype=torch.float64)[:, None]
_, axes = plt.subplots(figsize=(5, 5), subplot_kw={"projection": "polar"})
for time in (2, 8, 14):
    x = [[np.cos(time / 12 * np.pi), np.sin(time / 12 * np.pi)]]
    density = model.predict_distribution(np.repeat(x, len(around), 0))
    axes.plot(around[:, 0], density.log_prob(around).exp(), label=f"{time}:00")
    modes = density[:1].modes()
    likely = modes.mass[0] >= 0.1
    parts = zip(modes.location[0, likely, 0].tolist(), modes.mass[0, likely].tolist(), strict=True)
    print(f"{time:>2}:00", ", ".join(f"{np.degrees(angle):.0f} degrees with {mass:.0%}" for angle, mass in parts))
axes.set_theta_zero_location("E")
axes.legend(loc="lower right")
