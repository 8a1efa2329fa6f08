"""How much to order when demand has two modes? Not the mean.

A stall sells out on days when a coach stops, and hardly sells otherwise. A unit that is missing costs 2, one that is
left over costs 1. The action with the least expected cost is a quantile of the density, here that of 2/3.
"""

import numpy as np
import torch

import manymodes as mm

rng = np.random.default_rng(0)
weekday = rng.integers(0, 7, 1400).astype(float)
coach = rng.random(1400) < np.where(weekday >= 5, 0.75, 0.3)
demand = np.where(coach, rng.normal(80, 6, 1400), rng.normal(20, 4, 1400))
X = weekday[:, None]
model = mm.MDNRegressor(preset="fast", categorical_features=[0], random_state=0).fit(X[:1000], demand[:1000])

days = model.predict_distribution(X[1000:])
sold = torch.tensor(demand[1000:])[:, None]


def cost(order: torch.Tensor) -> float:
    """Return the mean cost of a day on which so much was ordered."""
    return float((2 * (sold - order).clamp_min(0) + (order - sold).clamp_min(0)).mean())


decision = mm.decisions.newsvendor(days, underage=2.0, overage=1.0)
orders = {"the best action": decision.action, "the mean": days.mean, "the highest mode": days.mode}
for name, order in orders.items():
    print(f"Ordering {name} costs {cost(order):.1f} a day.")
print(f"The model expected {decision.cost.mean():.1f} a day for the best action.")

week = model.predict_distribution(np.arange(7.0)[:, None])
axes = mm.plots.ridgeline(week, np.arange(7.0), x_label="day", y_label="demand")
axes.set_title("p(demand | day); 5 and 6 are the weekend")
