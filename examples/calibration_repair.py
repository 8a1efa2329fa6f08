"""Are probabilities as good as they sound? A model that is too sure of itself, found out and corrected.

The network has no restraint: one member, no dropout, 200 passes over 150 rows. Rows held out tell what it is worth: it
is too narrow. 300 of them correct it, and the other 900 judge the correction. What comes out is still a density.
"""

import torch
from matplotlib import pyplot as plt

import manymodes as mm

X, y = mm.datasets.make_sinusoid(1350, noise=0.15, noise_family="normal", random_state=0)
unrestrained = {"n_members": 1, "dropout": 0.0, "weight_decay": 0.0, "validation_fraction": 0.02, "max_epochs": 200}
model = mm.MDNRegressor(3, preset="fast", **unrestrained, random_state=0).fit(X[:150], y[:150])

held_out, t = model.predict_distribution(X[150:]), torch.tensor(y[150:])[:, None]
correction = mm.calibration.fit_recalibration(held_out[:300], t[:300])
judged, t = held_out[300:], t[300:]
densities = {"before": judged, "after": correction(judged)}

for name, density in densities.items():
    inside = mm.metrics.coverage(density, t, 0.9).double().mean()
    score, crps = mm.metrics.log_score(density, t).mean(), mm.metrics.crps(density, t).mean()
    print(f"{name}: 90 % intervals hold {inside:.1%} of the targets; log score {score:.3f} nats, CRPS {crps:.4f}")

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
mm.plots.pit(densities, t, ax=left)
mm.plots.coverage(densities, t, kinds=["central"], ax=right)
