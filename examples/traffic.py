"""How fast is a road at a given flow? Freely, or in a jam: one flow, two speeds.

Simulated after the fundamental diagram of a road (Greenshields 1935): speed falls with the number of vehicles on each
kilometre, and flow, their product, is the same for a few fast vehicles and for many slow ones.
"""

import numpy as np

import manymodes as mm

rng = np.random.default_rng(0)
density = rng.uniform(5, 110, 1500)  # vehicles per kilometre
speed = 110 * (1 - density / 125) + rng.normal(0, 4, 1500)  # kilometres per hour
flow = density * speed  # vehicles per hour
model = mm.MDNRegressor(preset="fast", random_state=0).fit(flow[:, None], speed)

grid = np.linspace(700, 3600, 140)
speeds = model.predict_distribution(grid[:, None])
at = model.predict_modes([[2000.0]])
slow, fast = sorted(at.location[0, :2, 0].tolist())
mean = model.predict([[2000.0]])[0]
print(f"At 2,000 vehicles per hour: {slow:.0f} or {fast:.0f} km/h; the mean is {mean:.0f} km/h.")

axes = mm.plots.density_bands(speeds, grid, kind="region", x_label="flow [vehicles per hour]", y_label="speed [km/h]")
axes.plot(flow, speed, ".", color="black", ms=1.5, alpha=0.4)
axes.plot(grid, speeds.mean, color="tab:red", label="mean")
axes.legend()
