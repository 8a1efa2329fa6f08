"""How likely is it that tomorrow stays below the limit all day? Paths tell, hours by themselves do not.

A distribution for every hour says how likely each hour is to be too high. Hours that are high together are another
matter: the errors of a forecast last, so a day that begins above its forecast stays there. The steps of sampled paths
depend on each other as errors of held-out forecasts did.
"""

import numpy as np
from matplotlib import pyplot as plt

import manymodes as mm

rng = np.random.default_rng(0)
hours, drift = np.arange(24 * 50), np.zeros(24 * 50)
for hour in hours[1:]:
    drift[hour] = 0.95 * drift[hour - 1] + rng.normal(0, 1.0)
load = 50 + 10 * np.sin(2 * np.pi * hours / 24) + drift
forecaster = mm.MDNForecaster(24, season=24, context=48, n_members=4, n_steps=200, random_state=0).fit(load)

limit = 62.0
paths = forecaster.sample_paths(500, random_state=0)[..., 0]
below = forecaster.predict_distribution().probability(-np.inf, limit)[:, 0]
print(f"The highest hour is below {limit:.0f} on {(paths < limit).all(1).mean():.0%} of the paths.")
print(f"If hours were independent, that would have a probability of {float(below.prod()):.0%}.")

quantiles = forecaster.predict_quantiles([0.05, 0.5, 0.95])
_, axes = plt.subplots(figsize=(8, 4))
axes.plot(range(-48, 0), load[-48:], color="black", lw=1, label="known")
axes.fill_between(range(24), quantiles[:, 0], quantiles[:, 2], color="tab:blue", alpha=0.2, label="90 % of each hour")
axes.plot(range(24), quantiles[:, 1], color="tab:blue", label="median of each hour")
axes.plot(range(24), paths[:20].T, color="tab:blue", lw=0.4)
axes.axhline(limit, color="tab:red", lw=1, label="limit")
axes.set(xlabel="hours from now", ylabel="load")
axes.legend(loc="lower left")
