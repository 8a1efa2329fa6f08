"""Where targets stand within their predictions, as numbers that are uniform when predictions are calibrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.ranks import find_ranks
from manymodes.metrics.calibration import between, pit
from manymodes.metrics.targets import exact_target

Kind = Literal["central", "region"]


def hpd_rank(
    distribution: Prediction, y: Tensor, *, n_samples: int = 10_000, generator: torch.Generator | None = None
) -> Tensor:
    """Probability of what is denser than each target; uniform on [0, 1] when predictions are calibrated.

    It is the smallest level whose highest-density region holds the target, of the joint density: one number a row,
    whatever the number of target dimensions. Where ranks jump, at counts and atoms, a number is drawn between. See
    ``Prediction.highest_density_rank``.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        n_samples: Samples of each prediction, in several dimensions; in one the rank is exact.
        generator: Source of randomness; None takes a fixed seed.

    Returns:
        Values from 0, at the highest mode, to 1, (N,).

    Raises:
        ValueError: Targets of another shape, or in one dimension counts beside a density.
        TypeError: Targets that are not exact.

    References:
        Harrison, Sutton, Carvalho and Hobson (2015), Validation of Bayesian posterior distributions using a
        multidimensional Kolmogorov-Smirnov test, MNRAS 451, section 2; Dalmasso, Pospisil, Lee, Izbicki, Freeman and
        Malz (2020), Conditional density estimation tools in Python and R with applications to photometric redshifts and
        likelihood-free cosmological inference, Astronomy and Computing 30, section 3.2.
    """
    y = exact_target("hpd_rank", distribution, y)
    # One for samples and what is drawn between: those of the same seed would depend on each other.
    generator = default_generator(generator, distribution.logits.device)
    ranks = find_ranks(distribution, y, n_samples=n_samples, generator=generator)
    return torch.where(y.isnan().any(-1), torch.nan, between(ranks.low, ranks.high, generator))


def uniforms(
    distribution: Prediction,
    y: Tensor,
    kind: Kind,
    generator: torch.Generator | None = None,
    n_samples: int = 10_000,
) -> Tensor:
    """Return what should be uniform, (N, C), in double precision: PITs, C = D, or ranks by density, C = 1.

    Raises:
        ValueError: Another kind, or targets that are not numbers.
    """
    of_kind: Mapping[str, Callable[..., Tensor]] = {"central": pit, "region": partial(hpd_rank, n_samples=n_samples)}
    find = _checks.one_of("kind", kind, of_kind)
    with torch.no_grad():
        values = find(distribution, y, generator=generator)
    values = values.reshape(-1, y.shape[-1] if kind == "central" else 1).double().cpu()
    if bool(values.isnan().any()):
        row = int(values.isnan().any(-1).nonzero()[0])
        raise _checks.InputError(f"y must hold numbers, and so must predictions; got NaN in {_checks.row(row)}.")
    return values
