"""How many fish does a party bring home? Often none, because it did not fish at all.

Counts come from parties that fish and from parties that do not, and nobody wrote down which is which. One Poisson per
party cannot say "none, or some ten"; a mixture of negative binomials can, and its probabilities are those of integers.
"""

import numpy as np
import torch
from matplotlib import pyplot as plt

import manymodes as mm

rng = np.random.default_rng(0)
people = rng.integers(1, 6, 1500)
fishes = rng.random(1500) < 0.6
caught = np.where(fishes, rng.poisson(3.0 * people), 0).astype(float)
X = people[:, None].astype(float)

settings = {"preset": "fast", "objective": "nll", "random_state": 0}
mixture = mm.MDNRegressor(family="negative_binomial", n_components=4, **settings).fit(X[:1000], caught[:1000])
poisson = mm.MDNRegressor(family="poisson", n_components=1, n_members=1, **settings).fit(X[:1000], caught[:1000])

party = np.array([[4.0]])
counts = torch.arange(26.0)
truth = 0.6 * torch.distributions.Poisson(12.0).log_prob(counts).exp()
truth[0] += 0.4
_, axes = plt.subplots(figsize=(7, 4))
axes.bar(range(26), truth.numpy(), color="lightgrey", label="truth")
for name, model in {"mixture of negative binomials": mixture, "one Poisson": poisson}.items():
    score = model.log_prob(X[1000:], caught[1000:]).mean()
    none = model.predict_probability(party, high=0.0)[0]
    print(f"{name}: log score {-score:.2f} nats; P(none | four people) = {none:.2f}, in truth 0.40")
    mass = model.predict_distribution(np.repeat(party, 26, 0)).log_prob(counts[:, None].double()).exp()
    axes.plot(range(26), mass, "o-", ms=3, label=name)
axes.set(xlabel="fish caught by a party of four", ylabel="probability")
axes.legend()
