r"""Normal components whose target dimensions are correlated: a full covariance, or one of low rank plus a diagonal.

No covariance matrix is formed on the way to a density, because forming it squares every ratio of scales. Full
covariances are kept as lower triangular factors; what is needed of a low rank comes from orthogonalised columns. LAPACK
works on one small matrix after the other: up to 4 rows, plain arithmetic on all matrices at once is faster, six times
with 2 rows.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.types import _size

from manymodes import _checks
from manymodes.distributions import constraints
from manymodes.distributions.caching import cached
from manymodes.distributions.declared import DEFAULT_RANK, Parameter
from manymodes.distributions.families.normal import DiagonalNormal, Normal
from manymodes.distributions.special import normal_cdf

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_UNROLLED = 4  # rows, up to which plain arithmetic is faster than LAPACK
_START = 0.1  # of the spread: the first factor, small, but not zero, where its gradient would be zero as well


class CorrelatedNormal(Normal):
    r"""Normal components with correlation; abstract, see its two final classes.

    .. math:: \log p(y) = -\tfrac12 z^\top z - \sum_d \log L_{dd} - \tfrac{D}{2} \log 2\pi,
        \qquad z = L^{-1} (y - m), \quad \Sigma = L L^\top
    """

    @abstractmethod
    def _lower(self) -> Tensor:
        """Return the lower triangular factor L of the covariance, (..., K, D, D)."""

    @property
    @abstractmethod
    def covariance_matrix(self) -> Tensor:
        """Covariances, (..., K, D, D)."""

    def rosenblatt(self, value: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return log p(y_d | y_1 .. y_d-1) and F(y_d | y_1 .. y_d-1) of every component, (..., K, D) each.

        .. math:: F(y_d \mid y_1 \dots y_{d-1}) = \Phi(z_d), \qquad z = L^{-1} (y - m)

        References:
            Rosenblatt (1952), Remarks on a multivariate transformation, Ann. Math. Statist. 23.
        """
        lower = self._lower()
        z = _standardised(lower, value - self.loc)
        return -(0.5 * z.square() + _diagonal(lower).log() + _HALF_LOG_2PI), normal_cdf(z)

    def interval_log_prob(self, low: Tensor, high: Tensor) -> Tensor:
        """Return the joint log-likelihood, (..., K), of targets known to lie in [low, high].

        Where both ends agree it is a density, where they are -inf and inf the dimension is missing. Dimensions are
        taken in an order of each row's own: exact ones first, then the one known to an interval, given those; the
        missing come last, where they touch nothing.

        Raises:
            ValueError: A row with two dimensions or more that are known to an interval only: their probability has
                no closed form.
        """
        low, high = torch.broadcast_tensors(low, high)
        exact, missing = low == high, (low == -torch.inf) & (high == torch.inf)
        censored = ~(exact | missing)
        self._check_one_interval(censored)
        order = (2 * missing.int() + censored.int()).argsort(dim=-1, stable=True)  # (..., 1, D)
        low, high, exact = (bound.gather(-1, order) for bound in (low, high, exact))
        loc, lower = self._reordered(order)
        z = _standardised(lower, torch.where(exact, low - loc, 0.0))
        centre = loc + _product(lower.tril(-1), z)
        return (
            DiagonalNormal(centre, _diagonal(lower), validate_args=False).marginal_interval_log_prob(low, high).sum(-1)
        )

    def _reordered(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """Return location and lower factor with the target dimensions in the ``order`` of each row, (..., 1, D)."""
        order = order.expand(torch.broadcast_shapes(order.shape, self.loc.shape))
        square = order.shape + order.shape[-1:]
        rows = self._lower().expand(square).gather(-2, order.unsqueeze(-1).expand(square))
        return self.loc.expand(order.shape).gather(-1, order), _orthogonalised(rows)[0]

    def _check_one_interval(self, censored: Tensor) -> None:
        count = censored.sum(-1)
        if bool((count > 1).any()):
            index = tuple((count > 1).nonzero()[0].tolist())
            row = index[-2] if len(index) > 1 else 0
            raise _checks.InputError(
                "y must hold at most one interval per row, beside exact and missing values, where target dimensions "
                f"are correlated; {_checks.row(row)} holds {int(count[index])}; take components without correlation."
            )


@final
class FullNormal(CorrelatedNormal):
    """Normal components with any covariance, given by its Cholesky factor.

    Args:
        loc: Means, (..., K, D), in the units of y.
        scale_tril: Lower triangular factors with a positive diagonal, (..., K, D, D), in the units of y.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "scale_tril": Parameter(("D", "D"), constraints.scale_tril),
    }

    loc: Tensor
    scale_tril: Tensor

    def __init__(self, loc: Tensor, scale_tril: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, scale_tril=scale_tril)

    @cached
    def stddev(self) -> Tensor:
        """Standard deviations, (..., K, D): the norms of the factor's rows."""
        return _norm(self.scale_tril)

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariances, (..., K, D, D)."""
        return self.scale_tril @ self.scale_tril.mT

    def _lower(self) -> Tensor:
        return self.scale_tril

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return (_diagonal(self.scale_tril).log() + _HALF_LOG_2PI + 0.5).sum(-1)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and no correlation."""
        n_components, target_dim = centres.shape
        return {"loc": centres, "scale_tril": torch.diag_embed(spread).expand(n_components, target_dim, target_dim)}

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        noise = _noise(torch.Size(sample_shape) + self.loc.shape, self.loc, generator)
        return (self.loc + _product(self.scale_tril, noise)).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""
        z = _standardised(self.scale_tril, value - self.loc)
        return -(0.5 * z.square() + _diagonal(self.scale_tril).log() + _HALF_LOG_2PI).sum(-1)

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``, (..., K, D)."""
        z = _standardised(self.scale_tril, value - self.loc)
        return -_solve(self.scale_tril.mT.flip(-1, -2), z.flip(-1)).flip(-1)  # upside down, L^T is lower triangular

    def curvature(self, value: Tensor) -> Tensor:
        """Return the inverse covariances, (..., K, D, D), whatever the value."""
        unit = torch.eye(self.loc.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        inverse: Tensor = torch.linalg.solve_triangular(self.scale_tril, unit.expand_as(self.scale_tril), upper=False)
        return inverse.mT @ inverse

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> FullNormal:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        factor = (scale * torch.ones_like(self.loc)).unsqueeze(-1)
        return FullNormal(shift + scale * self.loc, factor * self.scale_tril, validate_args=False)

    def marginal(self, dims: list[int]) -> FullNormal:
        """Return the same family over the chosen target dimensions."""
        lower, _ = _orthogonalised(self.scale_tril[..., dims, :])
        return FullNormal(self.loc[..., dims], lower, validate_args=False)

    def condition(self, dims: list[int], value: Tensor) -> FullNormal:
        r"""Return the distribution of the other dimensions, in order, given ``value``, (..., len(dims)), in ``dims``.

        .. math:: \begin{pmatrix} A & 0 \\ B & C \end{pmatrix}: \qquad
            Y_f \mid y_g \sim N\left(m_f + B A^{-1} (y_g - m_g),\; C C^\top\right)

        with the rows of the factor in the order given, free, and made lower triangular again.

        References:
            Golub and Van Loan (2013), Matrix Computations, 4th ed., sec. 5.2: the factor by orthogonalisation.
        """
        free, n_given = self._others(dims), len(dims)
        lower, _ = _orthogonalised(self.scale_tril[..., [*dims, *free], :])
        z = _standardised(lower[..., :n_given, :n_given], value.unsqueeze(-2) - self.loc[..., dims])
        loc = self.loc[..., free] + _product(lower[..., n_given:, :n_given], z)
        return FullNormal(loc, lower[..., n_given:, n_given:], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components whose scales are ``factor`` times as large."""
        return self.with_values(scale_tril=factor * self.scale_tril)


@final
class LowRankNormal(CorrelatedNormal):
    r"""Normal components that R common causes correlate: fewer parameters than a full covariance, for large D.

    .. math:: Y = m + F x + s \odot e, \qquad x \sim N(0, I_R), \; e \sim N(0, I_D), \qquad
        \Sigma = F F^\top + \mathrm{diag}(s^2)

    With :math:`G = F / s` and :math:`d = (y - m) / s`, Woodbury's identity and that of determinants need the
    capacitance :math:`C = I + G^\top G` only:

    .. math:: (y - m)^\top \Sigma^{-1} (y - m) = d^\top d - d^\top G C^{-1} G^\top d
        = \min_x \left( |d - G x|^2 + |x|^2 \right), \qquad |\Sigma| = |C| \prod_d s_d^2 .

    The difference loses every digit where s is tiny beside F. The minimum loses none: it is the squared residual of
    (d, 0) after projection on the columns of (G, I), orthogonalised.

    Args:
        loc: Means, (..., K, D), in the units of y.
        factor: Effects of the common causes, (..., K, D, R), in the units of y.
        scale: Standard deviations of what is left to each dimension alone, (..., K, D), in the units of y.
        validate_args: Whether values are checked too; shapes always are.

    Raises:
        ValueError: A shape that is not the declared one, or a value outside its constraint.

    References:
        Woodbury (1950), Inverting modified matrices; Ghahramani and Hinton (1996), The EM algorithm for mixtures of
        factor analyzers; Bjorck (1967), Solving linear least squares problems by Gram-Schmidt orthogonalization.
    """

    parameters: ClassVar[Mapping[str, Parameter]] = {
        "loc": Parameter(("D",), constraints.real),
        "factor": Parameter(("D", "R"), constraints.real),
        "scale": Parameter(("D",), constraints.scale),
    }

    loc: Tensor
    factor: Tensor
    scale: Tensor

    def __init__(self, loc: Tensor, factor: Tensor, scale: Tensor, *, validate_args: bool | None = None) -> None:
        super().__init__(validate_args=validate_args, loc=loc, factor=factor, scale=scale)

    @cached
    def stddev(self) -> Tensor:
        """Standard deviations, (..., K, D)."""
        return torch.hypot(_norm(self.factor), self.scale)

    @property
    def covariance_matrix(self) -> Tensor:
        """Covariances, (..., K, D, D)."""
        return self.factor @ self.factor.mT + torch.diag_embed(self.scale.square())

    @cached
    def scale_tril(self) -> Tensor:
        """Lower triangular factor of the covariance with a positive diagonal, (..., K, D, D)."""
        return _orthogonalised(torch.cat([self.factor, torch.diag_embed(self.scale)], -1))[0]

    def _lower(self) -> Tensor:
        return self.scale_tril

    def entropy(self) -> Tensor:
        """Return the differential entropy, (..., K), in nats."""
        return self.scale.log().sum(-1) + self._capacity[0] + self.loc.shape[-1] * (_HALF_LOG_2PI + 0.5)

    @classmethod
    def start(cls, centres: Tensor, spread: Tensor, rank: int = DEFAULT_RANK) -> dict[str, Tensor]:
        """Return parameters to start training from: means at the centres, (K, D), and little correlation."""
        n_components, target_dim = centres.shape
        dims, causes = (torch.arange(size, dtype=spread.dtype, device=spread.device) for size in (target_dim, rank))
        unlike = torch.cos(dims.unsqueeze(-1) * causes)  # (D, R): equal columns would stay equal for ever
        factor = _START * spread.unsqueeze(-1) * unlike
        return {
            "loc": centres,
            "factor": factor.expand(n_components, target_dim, rank),
            "scale": spread.expand(n_components, target_dim),
        }

    def sample(self, sample_shape: _size = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Return samples, (S..., ..., K, D)."""
        shape = torch.Size(sample_shape) + self.batch_shape
        common = _noise(shape + self.factor.shape[-1:], self.loc, generator)
        own = _noise(shape + self.event_shape, self.loc, generator)
        return (self.loc + _product(self.factor, common) + self.scale * own).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return joint log-densities, (..., K)."""
        residual = self._residual(value - self.loc)
        constant = self.scale.log().sum(-1) + self._capacity[0] + self.loc.shape[-1] * _HALF_LOG_2PI
        return -(0.5 * residual.square().sum(-1) + constant)

    def gradient(self, value: Tensor) -> Tensor:
        """Return the gradient of ``log_prob`` in ``value``, (..., K, D)."""
        residual = self._residual(value - self.loc)
        return -residual[..., : self.loc.shape[-1]] / self.scale

    def curvature(self, value: Tensor) -> Tensor:
        """Return the inverse covariances, (..., K, D, D), whatever the value."""
        _, basis = self._capacity
        unit = torch.diag_embed(self.scale.reciprocal())
        rows = _project_out(F.pad(unit, (0, self.factor.shape[-1])), basis.unsqueeze(-3))  # (..., K, D, D + R)
        return rows @ rows.mT

    def affine(self, shift: Tensor | float, scale: Tensor | float) -> LowRankNormal:
        """Return the distribution of ``shift + scale * Y`` for ``scale`` > 0."""
        factor = (scale * torch.ones_like(self.loc)).unsqueeze(-1) * self.factor
        return LowRankNormal(shift + scale * self.loc, factor, scale * self.scale, validate_args=False)

    def marginal(self, dims: list[int]) -> LowRankNormal:
        """Return the same family over the chosen target dimensions."""
        return LowRankNormal(self.loc[..., dims], self.factor[..., dims, :], self.scale[..., dims], validate_args=False)

    def condition(self, dims: list[int], value: Tensor) -> LowRankNormal:
        r"""Return the distribution of the other dimensions, in order, given ``value``, (..., len(dims)), in ``dims``.

        .. math:: x \mid y_g \sim N(\hat x, C^{-1}), \quad \hat x = C^{-1} G_g^\top d_g, \quad C = I + G_g^\top G_g,
            \qquad Y_f \mid y_g \sim N\left(m_f + F_f \hat x,\; F_f C^{-1} F_f^\top + \mathrm{diag}(s_f^2)\right)

        References:
            Bishop (2006), Pattern Recognition and Machine Learning, eqs. 12.41-12.42 and 2.115.
        """
        free, n_given = self._others(dims), len(dims)
        given = self.marginal(dims)
        common = -given._residual(value.unsqueeze(-2) - given.loc)[..., n_given:]  # (..., K, R)
        _, basis = given._capacity
        root = basis[..., n_given:].mT  # (..., K, R, R): the inverse of C's upper triangular factor
        factor = self.factor[..., free, :]
        loc = self.loc[..., free] + _product(factor, common)
        return LowRankNormal(loc, factor @ root, self.scale[..., free], validate_args=False)

    def widened(self, factor: float) -> Self:
        """Return components whose scales are ``factor`` times as large."""
        return self.with_values(factor=factor * self.factor, scale=factor * self.scale)

    @cached
    def _capacity(self) -> tuple[Tensor, Tensor]:
        """Half of log |C|, (..., K), and the columns of (G, I) orthogonalised, (..., K, R, D + R)."""
        columns = (self.factor / self.scale.unsqueeze(-1)).mT  # (..., K, R, D)
        unit = torch.eye(columns.shape[-2], dtype=columns.dtype, device=columns.device)
        triangle, basis = _orthogonalised(torch.cat([columns, unit.expand(*columns.shape[:-1], -1)], -1))
        return _diagonal(triangle).log().sum(-1), basis

    def _residual(self, offset: Tensor) -> Tensor:
        """Return (d - G x, -x) at the best x, (..., K, D + R), for offsets s d = y - m, (..., K, D)."""
        _, basis = self._capacity
        d = _within_reach(offset, self.scale) / self.scale
        return _project_out(F.pad(d, (0, basis.shape[-2])), basis)


def _orthogonalised(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``lower``, (..., n, n), with a positive diagonal, and orthonormal ``basis``: rows = lower @ basis.

    Few rows go through the modified Gram-Schmidt process, whose triangle is as accurate as that of the reflections
    which many go through.

    Args:
        rows: Linearly independent, (..., n, m).

    References:
        Bjorck (1967), Solving linear least squares problems by Gram-Schmidt orthogonalization, BIT 7.
    """
    if rows.shape[-2] > _UNROLLED:
        basis, upper = torch.linalg.qr(rows.mT)
        sign = torch.where(_diagonal(upper) < 0, -1.0, 1.0).to(rows.dtype)
        return upper.mT * sign.unsqueeze(-2), basis.mT * sign.unsqueeze(-1)
    return _gram_schmidt(rows)


def _gram_schmidt(rows: Tensor) -> tuple[Tensor, Tensor]:
    tiny = torch.finfo(rows.dtype).tiny
    columns, basis = [], []
    for done in range(rows.shape[-2]):
        first, rows = rows[..., 0, :], rows[..., 1:, :]
        length = _norm(first).unsqueeze(-1).clamp_min(tiny)
        direction = first / length  # (..., m)
        share = _product(rows, direction)  # (..., n - done - 1)
        rows = rows - share.unsqueeze(-1) * direction.unsqueeze(-2)
        columns.append(F.pad(torch.cat([length, share], -1), (done, 0)))
        basis.append(direction)
    return torch.stack(columns, -1), torch.stack(basis, -2)


def _project_out(value: Tensor, basis: Tensor) -> Tensor:
    """Return ``value``, (..., m), without its parts along the ``basis``, (..., n, m), taken out one by one."""
    for direction in basis.unbind(-2):
        value = value - (value * direction).sum(-1, keepdim=True) * direction
    return value


def _standardised(lower: Tensor, offset: Tensor) -> Tensor:
    """Return L^-1 (y - m), (..., K, D), within bounds."""
    bound = _bound(lower.dtype)
    return _solve(lower, _within_reach(offset, _diagonal(lower))).clamp(-bound, bound)


def _within_reach(offset: Tensor, scale: Tensor) -> Tensor:
    """Return offsets within so many scales that no far target turns a density or a gradient into NaN."""
    reach = _bound(scale.dtype) * scale.detach()
    return offset.clamp(-reach, reach)


def _bound(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).max ** 0.4)  # gradients hold its square over a scale, which stays finite


def _solve(lower: Tensor, offset: Tensor) -> Tensor:
    """Return L^-1 b for L (..., n, n) and b (..., n): forward substitution over all rows at once where n is small."""
    n = offset.shape[-1]
    if n > _UNROLLED:
        batch = torch.broadcast_shapes(lower.shape[:-1], offset.shape)
        offset = offset.expand(batch).unsqueeze(-1)
        solution: Tensor = torch.linalg.solve_triangular(lower, offset, upper=False)
        return solution.squeeze(-1)
    entries = [row.unbind(-1) for row in lower.unbind(-2)]
    solved: list[Tensor] = []
    for i, rest in enumerate(offset.unbind(-1)):
        for j in range(i):
            rest = rest - entries[i][j] * solved[j]
        solved.append(rest / entries[i][i])
    return torch.stack(solved, -1)


def _product(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _norm(rows: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(rows, dim=-1)
    return norm


def _diagonal(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1)


def _noise(shape: torch.Size, like: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
