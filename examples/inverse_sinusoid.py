"""Which y gave this x? Up to three answers, and a least-squares curve through none of them (Bishop 1994).

The targets are drawn first, evenly between 0 and 1, and x = y + 0.3 sin(2 pi y) with a little noise. Between x = 0.35
and x = 0.65 or so three values of y explain what was seen. The mean of the density is what least squares would return.
"""

import torch
from matplotlib import pyplot as plt

import manymodes as mm

X, y = mm.datasets.make_inverse_sinusoid(1000, noise=0.05, noise_family="normal", random_state=0)
model = mm.MDNRegressor(n_components=3, preset="fast", random_state=0).fit(X, y)

grid = torch.linspace(0.02, 0.98, 97)[:, None]
density = model.predict_distribution(grid)
modes = density.modes()
three = modes.count_above(0.05) == 3
print(f"Three answers of 5 % or more each: from x = {grid[three].min():.2f} to {grid[three].max():.2f}.")

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharex=True)
mm.plots.contour(density, grid[:, 0], ax=left)
left.plot(grid, density.mean, color="tab:red", label="mean, as least squares has it")
likely = modes.mask & (modes.mass >= 0.05)
x_of_modes = grid.expand_as(modes.mass)[likely]
left.plot(x_of_modes, modes.location[..., 0][likely], "k.", ms=3, label="modes of 5 % or more")
left.legend(loc="upper left")
mm.plots.components(model.predict_members(grid)[0], grid[:, 0], what="weights", ax=right)
right.set_title("weights of one member's components")
