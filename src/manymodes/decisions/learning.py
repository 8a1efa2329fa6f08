r"""Active learning: which rows of a pool to have measured next.

A row is worth measuring where members of an ensemble disagree, since that is what a measurement takes away; noise it
does not. Rows of one batch must not all tell the same. So they are chosen one after another, each as if those before
were measured: with the members' means as draws of a Gaussian process, whose covariance over rows is

.. math:: C_{ij} = \tfrac1M \sum_m (\mu_{mi} - \bar\mu_i)(\mu_{mj} - \bar\mu_j),

a measurement of row i with the noise :math:`a_i`, its aleatoric variance, leaves

.. math:: C_{jk} - \frac{C_{ji} C_{ik}}{C_{ii} + a_i}.

What is kept is not C but the deviations, (M, N), whose products it is: each step shrinks them along those of the chosen
row. So two rows about which members disagree in the same way are not both chosen, whatever their features are. Since M
members tell correlations roughly, and after M rows none would be left, the share 1 / M of every variance is taken to be
the row's own, about which no other row tells (shrinkage towards the diagonal, Ledoit and Wolf 2004, A well-conditioned
estimator for large-dimensional covariance matrices, J. Multivariate Analysis 88).

References:
    MacKay (1992), Information-based objective functions for active data selection, Neural Computation 4, section 3;
    Houlsby, Huszar, Ghahramani and Lengyel (2011), Bayesian active learning for classification and preference learning;
    Kirsch, van Amersfoort and Gal (2019), BatchBALD, NeurIPS (for why rows of a batch must differ).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import split_uncertainty
from manymodes.distributions.uncertainty import listed

_N_SAMPLES = 64  # of each member and row, for entropies


def acquire(
    model: Any, X_pool: Any, n: int, strategy: str = "epistemic", *, random_state: int | None = None
) -> NDArray[np.int64]:
    r"""Return the rows of a pool to have measured next, (n,), the most informative first.

    With :math:`e_i` the epistemic variance that is left after the rows before and :math:`a_i` the aleatoric one:

    - ``"epistemic"``: the largest e, in units of the target's variance over the pool, summed over targets.
    - ``"bald"``: the mutual information of the target and the member, see ``split_uncertainty``, of which as much is
      left as of :math:`\log(1 + e / a)`. Where noise is so small that no two members' densities overlap it is log M
      everywhere, and ranks little.
    - ``"entropy"``: the entropy of the pooled density, less what :math:`\tfrac12 \log(a + e)` lost; noise counts.
    - ``"random"``: any rows, to compare with.

    Args:
        model: What has ``predict_members(X)``, say a fitted ``MDNRegressor``: M predictions of ``batch_shape`` (N,), or
            a mixture of (M, N). Where it has ``iter_members``, that is asked batch by batch, so that memory holds no
            more than (M, N) numbers.
        X_pool: Features of the rows that might be measured, (N, F), of the kind that the model was fitted to.
        n: How many rows to choose.
        strategy: One of the above.
        random_state: Seed of the random choice, and of the samples that estimate entropies; None takes a fixed one for
            samples, and a fresh one for the choice.

    Raises:
        ValueError: More rows than the pool has, another strategy, or a single member, which disagrees with nobody.
        TypeError: A model without members.

    Example:
        >>> import numpy as np
        >>> from manymodes import MDNRegressor
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(-1, 0, (200, 1))  # nothing is known of what is above 0
        >>> model = MDNRegressor(preset="fast", random_state=0).fit(X, np.sin(3 * X[:, 0]) + 0.1 * rng.normal(size=200))
        >>> rows = acquire(model, np.array([[-0.8], [-0.6], [-0.4], [1.5]]), 1, "epistemic")
        >>> int(rows[0])
        3
    """
    worth = _checks.one_of("strategy", strategy, _STRATEGIES)
    n = _checks.integer_at_least("n", n, 1)
    if random_state is not None:
        random_state = _checks.random_state(random_state)
    if not callable(getattr(model, "predict_members", None)):
        raise TypeError(f"model must have a method predict_members, as MDNRegressor has; got {type(model).__name__}.")
    if worth is None:
        n_rows = _n_rows(X_pool)
        _at_most(n, n_rows)
        return np.random.default_rng(random_state).permutation(n_rows)[:n].astype(np.int64)
    with torch.no_grad():
        pool = _predicted(model, X_pool, random_state or 0, entropies=worth is not _by_variance)
        _at_most(n, len(pool.noise))
        if len(pool.means) == 1 and worth is not _by_entropy:
            raise _checks.InputError(
                f"model must have at least 2 members for strategy={strategy!r}; got 1. Set n_members, or take "
                "strategy='entropy' or 'random'."
            )
        start = _open_about(pool)
        return _greedy(start, n, worth(pool, start))


# --- what members say ---


class _Pool(NamedTuple):
    """What the members of an ensemble say about the rows of a pool.

    Attributes:
        means: Their means, (M, N, D).
        noise: Mean over members of the variance, of angles of that in radians, (N, D).
        angle: Which target dimensions are angles, (D,).
        information: Mutual information of target and member, (N,); empty where nobody asks.
        entropy: Entropy of the pooled density, likewise.
    """

    means: Tensor
    noise: Tensor
    angle: Tensor
    information: Tensor
    entropy: Tensor


def _predicted(model: Any, X: Any, seed: int, *, entropies: bool) -> _Pool:
    """Return what members say, by and by where the model can, so that memory holds no more than this."""
    batches = model.iter_members(X) if callable(getattr(model, "iter_members", None)) else [model.predict_members(X)]
    parts: list[_Pool] = []
    generator = None
    for batch in batches:
        members = listed(batch)
        if generator is None:
            generator = torch.Generator(members[0].logits.device).manual_seed(seed)
        means = torch.stack([member.mean.double() for member in members])
        noise = torch.stack([member.stddev.double().square() for member in members]).mean(0)
        angle = torch.tensor([kind == "angle" for kind in members[0].components.kinds], device=means.device)
        information = entropy = noise[:0, 0]
        if entropies:
            split = split_uncertainty(members, n_samples=_N_SAMPLES, modes=False, generator=generator)
            information, entropy = split.mutual_information.double(), split.entropy.double()
        parts.append(_Pool(means, noise, angle, information, entropy))
    columns = dict(zip(_Pool._fields, zip(*parts, strict=True), strict=True))
    return _Pool(
        means=torch.cat(columns["means"], 1),
        noise=torch.cat(columns["noise"]),
        angle=parts[0].angle,
        information=torch.cat(columns["information"]),
        entropy=torch.cat(columns["entropy"]),
    )


# --- one row after another ---


def _greedy(left: _Open, n: int, worth: _Worth) -> NDArray[np.int64]:
    """Return rows chosen one after another, each as if those before were measured."""
    chosen: list[int] = []
    free = torch.ones_like(left.noise[:, 0], dtype=torch.bool)
    for _ in range(n):
        value = worth(left).nan_to_num(-torch.inf)
        best = int(torch.where(free, value, -torch.inf).argmax())
        if not bool(free[best]):  # no worth is known of any row that is left
            best = int(free.nonzero()[0, 0])
        free[best] = False
        chosen.append(best)
        left = left.measured(best)
    return np.array(chosen, dtype=np.int64)


class _Open(NamedTuple):
    """What is open about the rows of a pool.

    Attributes:
        shared: Deviations of the members' means, (M, N, D), whose products are the covariance between rows.
        own: Epistemic variance of each row that no other row tells about, (N, D).
        noise: Aleatoric variance, (N, D).
    """

    shared: Tensor
    own: Tensor
    noise: Tensor

    @property
    def variance(self) -> Tensor:
        """Epistemic variance that is left, (N, D)."""
        return self.shared.square().sum(0) + self.own

    def measured(self, row: int) -> _Open:
        """Return what is open after a row was measured."""
        along = self.shared[:, row]  # (M, D)
        variance = along.square().sum(0)
        known = torch.where(variance > 0, variance, 1.0)
        noise = self.noise[row] + self.own[row]
        share = 1 - (noise / (known + noise)).sqrt()
        factor = torch.where(variance > 0, share / known, 0.0)
        shift = along.unsqueeze(1) * torch.einsum("md,mnd->nd", along, self.shared)
        return self._replace(shared=self.shared - factor * shift)


def _open_about(pool: _Pool) -> _Open:
    """Return what is open at the start, in units of the targets' standard deviations over the pool."""
    gap = pool.means - pool.means[0]  # from the first member: of angles there is no sum
    gap = torch.where(pool.angle, torch.remainder(gap + torch.pi, 2 * torch.pi) - torch.pi, gap)
    gap = gap - gap.mean(0)
    centre, total = pool.means.mean(0), gap.square().mean(0) + pool.noise
    usual = torch.where(total.isfinite(), total, torch.nan).nanmean(0) + (centre - centre.mean(0)).square().mean(0)
    unit = torch.where(usual > 0, usual, 1.0)
    gap = gap / (len(gap) * unit).sqrt()
    share = 1 / len(gap)
    endless = torch.finfo(gap.dtype).max / 4  # noise without a variance: nothing is learned there
    noise = (pool.noise / unit).nan_to_num(endless, posinf=endless)
    return _Open((1 - share) ** 0.5 * gap, share * gap.square().sum(0), noise)


# --- what a row is worth ---

# Returns what rows are worth, (N,), from what is open.
_Worth = Callable[[_Open], Tensor]


def _by_variance(pool: _Pool, start: _Open) -> _Worth:
    return lambda left: left.variance.sum(-1)


def _by_information(pool: _Pool, start: _Open) -> _Worth:
    before = _gain(start)
    known = torch.where(before > 0, before, 1.0)
    return lambda left: pool.information * torch.where(before > 0, _gain(left) / known, 1.0)


def _by_entropy(pool: _Pool, start: _Open) -> _Worth:
    within = pool.entropy - _gain(start)
    return lambda left: within + _gain(left)


def _gain(left: _Open) -> Tensor:
    """Return what a measurement tells of Gaussian values, (N,), in nats."""
    tiny = torch.finfo(left.noise.dtype).tiny
    return 0.5 * torch.log1p(left.variance / left.noise.clamp_min(tiny)).sum(-1)


_STRATEGIES: Mapping[str, Callable[[_Pool, _Open], _Worth] | None] = {
    "epistemic": _by_variance,
    "bald": _by_information,
    "entropy": _by_entropy,
    "random": None,
}


# --- checks ---


def _at_most(n: int, n_rows: int) -> None:
    if n > n_rows:
        raise _checks.InputError(f"n must be at most {n_rows}, the number of rows of X_pool; got {n}.")


def _n_rows(X: Any) -> int:
    if isinstance(X, Mapping):
        X = next(iter(X.values()), ())
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)
