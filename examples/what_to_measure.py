"""What does the model not know, and what can nobody know? Uncertainty split in two, and what to measure next.

Members of an ensemble agree on noise and disagree where rows were few. Noise stays whatever is measured; disagreement
goes away. ``acquire`` therefore chooses rows where members disagree, and no noisy rows for their noise.
"""

import numpy as np
from matplotlib import pyplot as plt

import manymodes as mm

rng = np.random.default_rng(0)


def measure(x: np.ndarray) -> np.ndarray:
    """Return noisy targets; the noise is large on the left, where rows are many."""
    return np.sin(2 * x[:, 0]) + rng.normal(0, np.where(x[:, 0] < 0, 0.4, 0.05))


known = np.concatenate([rng.uniform(-2, 0, (200, 1)), rng.uniform(1.6, 2, (20, 1))])
model = mm.MDNRegressor(preset="fast", n_members=8, random_state=0).fit(known, targets := measure(known))

grid = np.linspace(-2, 2, 161)[:, None]
split = model.predict_uncertainty(grid)
chosen = grid[mm.decisions.acquire(model, grid, 20)]
print(f"Of 20 rows to measure next, {(chosen > 0).mean():.0%} lie on the right, where 9 % of the known rows are.")

_, (top, bottom) = plt.subplots(2, 1, figsize=(7, 6), sharex=True)
mm.plots.density_bands(model.predict_distribution(grid), grid[:, 0], ax=top)
top.plot(known, targets, ".", color="black", ms=2)
bottom.plot(grid, split["y_aleatoric"], label="aleatoric: noise")
bottom.plot(grid, split["y_epistemic"], label="epistemic: what the fit left open")
bottom.plot(chosen, np.zeros(20), "|", color="black", ms=12, label="measure next")
bottom.set(xlabel="x", ylabel="standard deviation")
bottom.legend()
