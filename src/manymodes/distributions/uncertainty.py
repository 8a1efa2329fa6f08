r"""What an ensemble does not know, apart from what it holds to be random.

Members :math:`p_m` are M predictions of the same rows, and p is their average. By the laws of total variance and of
total entropy

.. math::
    \mathrm{Var}(Y) &= \tfrac1M \sum_m \mathrm{Var}_m(Y) + \mathrm{Var}_m(E_m Y), \\
    H(p) &= \tfrac1M \sum_m H(p_m) + \tfrac1M \sum_m KL(p_m \| p).

The first parts are aleatoric: noise that every member sees and that no further row takes away. The second parts are
epistemic: members disagree, since the rows do not tell which is right. The divergence is the mutual information of the
target and the member; its estimate here averages :math:`\log M - H(r(y))` over samples of all members, with the
members' responsibilities r. So it lies between 0 and log M; it is 0 where members agree and log M where they share
nothing, without an error in either case.

References:
    Lakshminarayanan, Pritzel and Blundell (2017), Simple and scalable predictive uncertainty estimation using deep
    ensembles, section 2.4 (variances); Houlsby, Huszar, Ghahramani and Lengyel (2011), Bayesian active learning for
    classification and preference learning, eq. 1, and Depeweg, Hernandez-Lobato, Doshi-Velez and Udluft (2018),
    Decomposition of uncertainty in Bayesian deep learning, ICML, section 3 (entropies).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.ascent import Joint, climb
from manymodes.distributions.atoms import Parts, take_apart
from manymodes.distributions.lattice import peaks, stretches
from manymodes.distributions.line import Line
from manymodes.distributions.mixture import Mixture
from manymodes.distributions.modes import around_the_circle, basins
from manymodes.distributions.randomness import default_generator
from manymodes.distributions.results import Table
from manymodes.distributions.together import pool

_VALUES = 2**21  # log-densities of components at a time, which bounds the memory


@dataclass(frozen=True, eq=False, repr=False)
class UncertaintySplit(Table):
    """Uncertainty of every row, in its aleatoric and epistemic parts.

    Variances are those of each target dimension, in the units of y squared. Of angles they are circular, from 0 to 1:
    with the lengths R and directions t of the members' mean vectors and the direction t of their average, the aleatoric
    part is the mean of 1 - R, and the epistemic one the mean of R (1 - cos(t_m - t)); both make the circular variance
    of the pooled density.

    Attributes:
        aleatoric_variance: Mean over members of the variance, (N, D).
        epistemic_variance: Variance over members of the mean, (N, D).
        member_entropy: Mean over members of the entropy of the joint density, (N,), in nats: aleatoric.
        mutual_information: What the target would tell about the member, (N,), from 0 to log M nats: epistemic.
        entropy_error: Standard error of ``entropy``, (N,).
        mutual_information_error: Standard error of ``mutual_information``, (N,).
        mode_disagreement: How differently members share their probability among the pooled density's modes, (N,): the
            mean over members of the total variation distance of their masses in its basins (and on its atoms) from the
            pooled ones, from 0 to 1 - 1 / M. In one dimension basins lie between minima, as those of ``modes``; in
            several a component counts to the mode that it climbs to. NaN where modes cannot be told (counts beside a
            density, atoms in several dimensions) or were not asked for.
    """

    aleatoric_variance: Tensor
    epistemic_variance: Tensor
    member_entropy: Tensor
    mutual_information: Tensor
    entropy_error: Tensor
    mutual_information_error: Tensor
    mode_disagreement: Tensor

    @property
    def total_variance(self) -> Tensor:
        """Variance of the pooled density, (N, D)."""
        return self.aleatoric_variance + self.epistemic_variance

    @property
    def epistemic_share(self) -> Tensor:
        """Epistemic share of the variance, (N, D), from 0 to 1; 0 where nothing varies."""
        total = self.total_variance
        return torch.where(total > 0, self.epistemic_variance / torch.where(total > 0, total, 1.0), 0.0)

    @property
    def entropy(self) -> Tensor:
        """Entropy of the pooled joint density, (N,), in nats."""
        return self.member_entropy + self.mutual_information

    def to_dict(self) -> dict[str, list[Any]]:
        """Return one line a row, counted from 0; variances of several dimensions are columns by their numbers."""
        table: dict[str, list[Any]] = {"row": list(range(len(self.mutual_information)))}
        for name in ("aleatoric_variance", "epistemic_variance"):
            value = getattr(self, name)
            for d in range(value.shape[-1]):
                table[name if value.shape[-1] == 1 else f"{name}_{d}"] = value[:, d].tolist()
        names = ("entropy", "member_entropy", "mutual_information", "mutual_information_error", "mode_disagreement")
        return table | {name: getattr(self, name).tolist() for name in names}

    def __repr__(self) -> str:
        figures = ("epistemic_share", "mutual_information", "mode_disagreement")
        means = ", ".join(f"{name}={float(getattr(self, name).mean()):.3g}" for name in figures)
        return f"UncertaintySplit(rows={len(self.mutual_information)}, on average {means})"


def split_uncertainty(
    members: Mixture | Sequence[Mixture],
    *,
    n_samples: int = 64,
    modes: bool = True,
    generator: torch.Generator | None = None,
) -> UncertaintySplit:
    """Return how much of the uncertainty of each row is noise, and how much is disagreement of an ensemble's members.

    Variances and modes are exact; entropies come from samples, and say how well. Carries no gradient.

    Args:
        members: Predictions of the same rows: a mixture with ``batch_shape`` (M, N), or M of ``batch_shape`` (N,), as
            ``MDNRegressor.predict_members`` returns them.
        n_samples: Samples of each member and row, at least 2.
        modes: Whether the disagreement of modes is worked out, which takes most of the time; NaN where not.
        generator: Source of randomness; None takes a fixed seed.

    Raises:
        ValueError: No members, or predictions of different shapes.
        TypeError: Something that is no mixture.

    Example:
        >>> from torch.distributions import Categorical
        >>> from manymodes.distributions import DiagonalNormal
        >>> loc = torch.tensor([[0.0, 0.0], [0.0, 4.0]])[..., None, None]  # (M, N, K, D): agreed, and not
        >>> members = Mixture(Categorical(torch.ones(2, 2, 1)), DiagonalNormal(loc, torch.ones_like(loc)))
        >>> split = split_uncertainty(members)
        >>> split.aleatoric_variance.flatten(), split.epistemic_variance.flatten()
        (tensor([1., 1.]), tensor([0., 4.]))
        >>> split.mode_disagreement
        tensor([0.0000, 0.4772])
    """
    _checks.integer_at_least("n_samples", n_samples, 2)
    _checks.boolean("modes", modes)
    found = listed(members)
    device, dtype = found[0].logits.device, found[0].logits.dtype
    generator = default_generator(generator, device)
    parts = []
    with torch.no_grad():
        for some in row_runs(found, n_samples):
            information = mutual_information_of(some, n_samples, generator)
            parts.append(UncertaintySplit(*_variances(some), *information, _disagreement(some, modes=modes)))
    columns = ([getattr(part, field.name) for part in parts] for field in fields(UncertaintySplit))
    return UncertaintySplit(*(torch.cat(column).to(dtype) for column in columns))


def listed(members: Mixture | Sequence[Mixture]) -> list[Mixture]:
    """Return the members of an ensemble one by one, ``batch_shape`` (N,) each, or refuse what they cannot be."""
    if isinstance(members, Mixture):
        if len(members.batch_shape) != 2:
            shape = _checks.shape_text(members.batch_shape)
            raise _checks.InputError(
                f"members must have batch_shape (M, N), members first, or be a list of mixtures; got {shape}."
            )
        members = [members[m] for m in range(members.batch_shape[0])]
    _checks.instance("members", members, Sequence, " of mixtures, see predict_members")
    found = list(members)
    if not found:
        raise _checks.InputError("members must hold at least 1 prediction; got none.")
    first = found[0]
    for m, member in enumerate(found):
        _checks.instance(f"member {m + 1}", member, Mixture)
        wanted = ("N", *first.event_shape) if m == 0 else (*first.batch_shape, *first.event_shape)
        _checks.matches_shape(f"targets of member {m + 1}", (*member.batch_shape, *member.event_shape), wanted, _ALIKE)
    return found


_ALIKE = "to describe the same rows as the others"


def row_runs(members: list[Mixture], n_samples: int) -> Iterator[list[Mixture]]:
    """Yield members for as many rows at a time as memory should hold with so many samples, in double precision."""
    n_rows = members[0].batch_shape[0]
    width = sum(member.n_components for member in members) * members[0].event_shape[0] * n_samples
    size = max(1, _VALUES // width)
    for start in range(0, max(n_rows, 1), size):
        rows = slice(start, min(start + size, n_rows))
        yield [member[rows].to(torch.float64) for member in members]


# --- variances ---


def _variances(members: list[Mixture]) -> tuple[Tensor, Tensor]:
    """Return the aleatoric and the epistemic variance, (N, D) each."""
    means, variances = torch.stack([m.mean for m in members]), torch.stack([m.variance for m in members])
    aleatoric, between = variances.mean(0), (means - means.mean(0)).square().mean(0)
    kinds = members[0].components.kinds
    if "angle" not in kinds:
        return aleatoric, between
    angle = torch.tensor([kind == "angle" for kind in kinds], device=means.device)
    length, gap = 1 - variances, means - pool(members).mean
    return aleatoric, torch.where(angle, (2 * length * (0.5 * gap).sin().square()).mean(0), between)


# --- entropies ---


class Information(NamedTuple):
    """Mean entropy of the members, the mutual information, and the standard errors of their sum and of it, (N,)."""

    member_entropy: Tensor
    mutual_information: Tensor
    entropy_error: Tensor
    mutual_information_error: Tensor


def mutual_information_of(members: list[Mixture], n_samples: int, generator: torch.Generator) -> Information:
    """Return the parts of the pooled entropy, from as many samples of each member."""
    pooled, sizes = pool(members), [member.n_components for member in members]
    entropy, gain = [], []
    for m, member in enumerate(members):
        y = member.sample((n_samples,), generator=generator)
        parts = pooled.component_log_prob(y).split(sizes, -1)  # of log(w p / M)
        by_member = torch.stack([torch.logsumexp(part, -1) for part in parts], -1)  # (S, N, M)
        gain.append((math.log(len(members)) - _entropy_of(by_member)).clamp_min(0.0))
        entropy.append(_member_entropy(member, parts[m], by_member[..., m] + math.log(len(members))))
    own, more = torch.stack(entropy), torch.stack(gain)  # (M, S, N)
    return Information(own.mean((0, 1)), more.mean((0, 1)), _standard_error(own + more), _standard_error(more))


def _member_entropy(member: Mixture, parts: Tensor, log_prob: Tensor) -> Tensor:
    """Return numbers, (S, N), whose mean is the entropy: what is known of components, less their overlap."""
    try:
        own = member.components.entropy()
    except _checks.InputError:
        return -log_prob
    weights = member.weights
    known = torch.where(weights > 0, weights * (own - member.logits), 0.0).sum(-1)
    return known - _entropy_of(parts)


def _entropy_of(logits: Tensor) -> Tensor:
    """Return the entropy of discrete distributions, (..., J) -> (...)."""
    entropy: Tensor = torch.special.entr(torch.softmax(logits, -1)).sum(-1)
    return entropy


def _standard_error(values: Tensor) -> Tensor:
    """Return the standard error of the mean over members and their samples, (M, S, N) -> (N,)."""
    n_members, n_samples = values.shape[:2]
    squares = (values - values.mean(1, keepdim=True)).square().sum((0, 1))
    return (squares / (n_samples - 1) / n_samples).sqrt() / n_members


# --- modes ---


def _disagreement(members: list[Mixture], *, modes: bool) -> Tensor:
    """Return the mean total variation distance of the members' masses of basins from the pooled ones, (N,)."""
    unknown = torch.full_like(members[0].logits[..., 0], torch.nan)
    if not modes:
        return unknown
    try:
        masses = _line_masses(members) if members[0].event_shape[0] == 1 else _joint_masses(members)
    except _checks.InputError:
        return unknown
    return 0.5 * (masses - masses.mean(0)).abs().sum(-1).mean(0)


def _line_masses(members: list[Mixture]) -> Tensor:
    """Return the members' masses in the basins and on the atoms of the pooled density, (M, N, B)."""
    lines = [Line.of(member.logits, member.components) for member in members]
    together = pool(members)
    pooled = take_apart(Line.of(together.logits, together.components))
    if pooled.kind == "count" and pooled.spread is not None:
        return _count_masses(lines, pooled.spread)
    parts = [take_apart(line) for line in lines]
    own = torch.stack([_atom_masses(part, pooled) for part in parts])
    if pooled.spread is None or len(pooled.spread) == 0:
        return own
    maximum, low, high = basins(pooled.spread)
    masses = []
    for part in parts:
        mass = torch.zeros_like(low) if part.spread is None else part.spread.masses(low, high)
        mass = mass * part.share.exp().unsqueeze(-1)
        masses.append(around_the_circle(pooled.spread, maximum, mass)[1] if pooled.kind == "angle" else mass)
    return torch.cat([own, torch.stack(masses)], -1)


def _atom_masses(part: Parts, pooled: Parts) -> Tensor:
    """Return a member's masses at the places of all atoms, (N, A)."""
    same = part.atoms.location.unsqueeze(-2) == pooled.atoms.location.unsqueeze(-1)
    return torch.where(same, part.atoms.mass.unsqueeze(-2), 0.0).sum(-1)


def _count_masses(lines: list[Line], pooled: Line) -> Tensor:
    """Return the members' masses in the basins of pooled counts, (M, N, B)."""
    found = []
    for stretch in stretches(pooled):
        basin = peaks(stretch)[1]
        mass = torch.stack([line.take(stretch.rows).log_prob(stretch.integer.T).T.exp() for line in lines])
        mass = torch.where(stretch.log_prob > -torch.inf, mass, 0.0)
        empty = mass.new_zeros(*mass.shape[:-1], int(basin.max()) + 1)
        found.append(empty.scatter_add(-1, basin.expand_as(mass), mass))
    most = max((part.shape[-1] for part in found), default=1)
    padded = [torch.nn.functional.pad(part, (0, most - part.shape[-1])) for part in found]
    return torch.cat([pooled.logits.new_zeros(len(lines), 0, most), *padded], 1)


def _joint_masses(members: list[Mixture]) -> Tensor:
    """Return the members' weights of the components that climb to each mode of the pooled density, (M, N, J)."""
    pooled = pool(members)
    if any("atom" in group.kinds for group in pooled.components.groups):
        raise _checks.InputError("members must have no atoms in a joint density.")
    free = torch.tensor([kind != "count" for kind in pooled.components.kinds], device=pooled.logits.device)
    home = climb(Joint(pooled.logits, pooled.components.expand(pooled.logits.shape)), free, ridges=False).home
    masses, first = [], 0
    for member in members:
        own = home[first : first + member.n_components].T  # (N, K)
        masses.append(torch.zeros_like(pooled.logits).scatter_add(-1, own, member.weights))
        first += member.n_components
    return torch.stack(masses)
