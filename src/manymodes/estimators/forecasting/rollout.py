"""One step after another: particles that each draw a step, put it behind their window, and go on.

A particle keeps to one member of the ensemble, so that a path is what one model believes all along.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical

from manymodes import _checks
from manymodes.distributions import Mixture
from manymodes.distributions.together import parameters
from manymodes.estimators.forecasting.fewer import fewer
from manymodes.estimators.forecasting.model import WindowModel
from manymodes.estimators.forecasting.windows import Past
from manymodes.estimators.tables.numbers import Floats

_WINDOWS = 20_000  # of all particles at a time, which bounds the memory
_COMPONENTS = 64  # of a step's distribution, which thousands are merged into


@torch.no_grad()
def rolled_out(model: WindowModel, past: Past, n_paths: int, generator: torch.Generator) -> tuple[Floats, Mixture]:
    """Return paths, (S, N, H, D), and the distribution of every step, ``batch_shape`` (N, H).

    The distribution of a step is that of the next value given where particles are, averaged over particles: it is known
    far better than from their values alone (Rao and Blackwell). Its thousands of components are merged into a few.

    Args:
        model: Predicts one step.
        past: Windows, with what is known of all H steps.
        n_paths: Number of paths, S.
        generator: Source of randomness.
    """
    at_a_time = max(_WINDOWS // n_paths, 1)
    paths, mixtures = [], []
    for first in range(0, len(past), at_a_time):
        part = Past(*(value[first : first + at_a_time] for value in vars(past).values()))
        own_paths, own_mixture = _rolled_out(model, part, n_paths, generator)
        paths.append(own_paths)
        mixtures.append(own_mixture)
    return np.concatenate(paths, 1), _joined(mixtures, 0)


def _rolled_out(model: WindowModel, past: Past, n_paths: int, generator: torch.Generator) -> tuple[Floats, Mixture]:
    n_members, context = model.network.n_members or 1, model.view.context
    each = -(-n_paths // n_members)
    n_rows, horizon = len(past), past.calendar.shape[1]
    particles = Past(*(np.tile(part, (n_members * each, *[1] * (part.ndim - 1))) for part in vars(past).values()))
    # Row (member, number, window): the first paths of all members come first when the axes are swapped.
    members = torch.randperm(n_members, generator=generator)  # fewer paths than members are of any of them
    steps, mixtures = [], []
    for step in range(horizon):
        now = replace(
            particles,
            known=particles.known[:, step : step + context + 1],
            calendar=particles.calendar[:, step : step + 1],
        )
        mixture = model.member_density(now)[:, 0]
        if not bool(mixture.logits.isfinite().all()):
            raise _checks.InputError("series must stay near those of the fit; a path is too extreme for the network.")
        value = mixture.sample(generator=generator)  # (M each N, D)
        steps.append(value.unflatten(0, (n_members, each, n_rows))[members].transpose(0, 1).flatten(0, 1)[:n_paths])
        mixtures.append(_of_particles(mixture, n_rows))
        values = np.concatenate([particles.values[:, 1:], value.numpy()[:, None]], 1)
        particles = replace(particles, values=values)
    return torch.stack(steps, 2).numpy(), _joined(mixtures, 1)


def _of_particles(mixture: Mixture, n_rows: int) -> Mixture:
    """Return the average over particles, (N,), of the predictions of all, (P N,), with few components."""
    components = mixture.components.transformed(lambda value: value.unflatten(0, (-1, n_rows)))
    logits = mixture.logits.unflatten(0, (-1, n_rows))
    pooled = Mixture(Categorical(logits=logits, validate_args=False), components).pooled(0)
    return fewer(pooled, _COMPONENTS)


def _joined(mixtures: list[Mixture], axis: int) -> Mixture:
    """Return predictions as one, along a batch axis that they have, 0, or along a new one, 1."""

    def put(values: list[Tensor]) -> Tensor:
        return torch.cat(values, 0) if axis == 0 else torch.stack(values, 1)

    parts = [parameters(mixture) for mixture in mixtures]
    logits = put([mixture.logits for mixture in mixtures])
    remaining = [put(list(column)) for column in zip(*parts, strict=True)]
    components = mixtures[0].components.transformed(lambda value: remaining.pop(0))
    return Mixture(Categorical(logits=logits, validate_args=False), components)
