"""How long will the next eruption of Old Faithful last? After a long wait there are two answers."""

import torch

import manymodes as mm

X, y = mm.datasets.load_geyser()
model = mm.MDNRegressor(random_state=0).fit(X, y)

waits = torch.tensor([[50.0], [65.0], [80.0]])
density = model.predict_distribution(waits)
modes = density.modes()

for i, wait in enumerate(waits[:, 0].tolist()):
    print(f"After a wait of {wait:.0f} minutes the mean duration is {density.mean[i, 0]:.1f} minutes, but likely are:")
    for location, mass in zip(modes.location[i, :, 0].tolist(), modes.mass[i].tolist(), strict=True):
        if mass >= 0.05:
            print(f"  about {location:.1f} minutes, with probability {mass:.0%}")

grid = torch.linspace(43.0, 108.0, 131)
axes = mm.plots.density_bands(model.predict_distribution(grid[:, None]), grid, kind="region")
axes.set(xlabel="wait [minutes]", ylabel="duration [minutes]")
axes.plot(X, y, ".", color="black", ms=2)
