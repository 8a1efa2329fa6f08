"""Random predictions of every family, as torch knows them and as a document and plain arrays do."""

from __future__ import annotations

import torch
from torch.distributions import Categorical

from manymodes import distributions as d
from manymodes.estimators.portable.components import describe_components, learned_parameters

N, M, K = 3, 2, 4
LINE = [  # what has one dimension
    "normal",
    "student_t",
    "laplace",
    "logistic",
    "log_normal",
    "gamma",
    "beta",
    "von_mises",
    "poisson",
    "negative_binomial",
    "logit_normal",
    "atoms",
]


def uniform(generator, low, high, *shape):
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


def family(name: str, target_dim: int, g: torch.Generator, k: int = K) -> d.Component:
    """Return components of scaled units, (M, N, k), with random parameters."""
    shape = (M, N, k, target_dim)
    loc, scale = uniform(g, -2, 2, *shape), uniform(g, 0.05, 0.8, *shape)
    if name == "normal":
        return d.DiagonalNormal(loc, scale)
    if name == "full":
        factor = uniform(g, -0.5, 0.5, *shape, target_dim).tril(-1) + torch.diag_embed(scale)
        return d.FullNormal(loc, factor)
    if name == "low_rank":
        return d.LowRankNormal(loc, uniform(g, -0.5, 0.5, *shape, 2), scale)
    if name == "student_t":
        return d.StudentT(uniform(g, 1.1, 30, *shape), loc, scale)
    if name in ("laplace", "logistic"):
        return {"laplace": d.Laplace, "logistic": d.Logistic}[name](loc, scale)
    if name == "log_normal":
        return d.LogNormal(0.5 * loc, scale)
    if name == "gamma":
        return d.Gamma(uniform(g, 0.6, 60, *shape), uniform(g, 0.05, 0.2, *shape))
    if name == "beta":
        return d.Beta(uniform(g, 0.7, 40, *shape), uniform(g, 0.7, 40, *shape))
    if name == "von_mises":
        return d.VonMises(2 * loc, uniform(g, 0.3, 400, *shape))
    if name == "poisson":
        return d.Poisson(uniform(g, 0.5, 40, *shape))
    if name == "negative_binomial":
        return d.NegativeBinomial(uniform(g, 0.5, 40, *shape), uniform(g, 0.5, 50, *shape))
    if name == "logit_normal":
        return d.Transformed(d.DiagonalNormal(loc, scale), d.Logit.on(0.0, 1.0))
    if name == "atoms":
        zeros = torch.zeros(M, N, 1, 1, dtype=torch.float64)
        return d.Concatenation(d.PointMass(zeros), d.PointMass(zeros + 0.5), family("normal", 1, g, k - 2))
    assert name == "product"
    return d.Product(family("von_mises", 1, g), family("full", 2, g), family("poisson", 1, g))


UNSCALED = {"von_mises", "poisson", "negative_binomial", "product"}  # never shifted or scaled
POSITIVE = {"log_normal", "gamma"}  # never shifted


def described(name: str, target_dim: int = 1, seed: int = 0) -> tuple[d.Mixture, dict, dict]:
    """Return a random prediction of N rows, its document, and the parameters of a network of M members."""
    g = torch.Generator().manual_seed(seed)
    components = family(name, target_dim, g)
    dims = components.event_shape[0]
    shift, scale = torch.full((dims,), 30.0, dtype=torch.float64), torch.full((dims,), 5.0, dtype=torch.float64)
    if name in UNSCALED:
        shift, scale = shift * 0, scale * 0 + 1
    elif name in POSITIVE:
        shift = shift * 0
    logits = torch.log_softmax(1.5 * torch.randn(M, N, K, generator=g, dtype=torch.float64), -1)
    members = d.Mixture(Categorical(logits=logits), components.affine(shift, scale))
    document = {
        "n_members": M,
        "scaling": {"shift": shift.tolist(), "scale": scale.tolist()},
        "components": describe_components(members.components),
    }
    parameters = {"logits": logits, **learned_parameters(components)}
    return members.pooled(0), document, {key: value.movedim(0, 1).numpy() for key, value in parameters.items()}
