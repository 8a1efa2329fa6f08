"""Calibration of groups of rows: where are predictions wrong, if they are right on average?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Prediction
from manymodes.distributions.results import Table
from manymodes.metrics.bands import pointwise_band
from manymodes.metrics.ranks import Kind, uniforms
from manymodes.metrics.spread import log_spread
from manymodes.metrics.uniformity import distance_from_uniform, expected_error, uniformity_test, verdict_of

_ROWS_A_BIN = 20  # from which a p-value of the smooth test is what it says
_FEWEST = 5


@dataclass(frozen=True)
class GroupCalibration:
    """Calibration of one target dimension in one group of rows.

    Attributes:
        group: Name of the group: a label, or the ends of a bin.
        dim: Target dimension; 0 for ranks by density.
        n_rows: Number of rows.
        coverage: Share of targets inside the central interval, or the region, of the level asked.
        coverage_low: Lower end of the binomial band of the shares of calibrated predictions.
        coverage_high: Upper end, likewise.
        mean_pit: Mean PIT, or rank; 0.5 when predictions are calibrated.
        calibration_error: Mean distance of the distribution function from the diagonal.
        noise_floor: What calibrated predictions are expected to have with so many rows.
        p_value: Of Neyman's smooth test of this group alone.
        adjusted_p_value: The same, allowing for the number of groups and dimensions.
        verdict: What is wrong, in words, where the adjusted p-value is below 0.05.
    """

    group: str
    dim: int
    n_rows: int
    coverage: float
    coverage_low: float
    coverage_high: float
    mean_pit: float
    calibration_error: float
    noise_floor: float
    p_value: float
    adjusted_p_value: float
    verdict: str


@dataclass(frozen=True, repr=False)
class CalibrationBy(Table):
    """Calibration of groups of rows, the worst first.

    Attributes:
        groups: One entry for each group and target dimension, the smallest p-values first.
        by: What makes the groups: ``"by"``, or ``"predicted spread"``.
        level: Level of the coverage.
        band: Probability of the band of the coverage.
    """

    groups: tuple[GroupCalibration, ...]
    by: str
    level: float
    band: float

    def to_dict(self) -> dict[str, list[Any]]:
        """Return a table of columns: one group of one target dimension a line."""
        return {name: [getattr(group, name) for group in self.groups] for name in GroupCalibration.__annotations__}

    def __repr__(self) -> str:
        several = len({group.dim for group in self.groups}) > 1
        lines = [
            f"  {group.group}{f' (target {group.dim})' if several else ''}: n={group.n_rows}, "
            f"coverage {group.coverage:.3f} (expected {group.coverage_low:.3f} to {group.coverage_high:.3f}), "
            f"adjusted p={group.adjusted_p_value:.3g}, {group.verdict}"
            for group in self.groups
        ]
        return "\n".join([f"CalibrationBy({self.by}, level={self.level:g}, the worst first)", *lines])


def calibration_by(
    distribution: Prediction,
    y: Tensor,
    by: Any = None,
    *,
    n_bins: int = 5,
    kind: Kind = "central",
    level: float = 0.9,
    band: float = 0.95,
    n_samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> CalibrationBy:
    """Return calibration in groups of rows: of a feature, or of the predicted spread.

    Numbers of more than ``n_bins`` values make bins of about as many rows each; labels, and numbers of few values, each
    make a group. P-values are adjusted for the number of groups and dimensions (Holm), so that among all of a
    calibrated prediction none is below 0.05 in 95 of 100 cases.

    Args:
        distribution: Predictions with ``batch_shape`` (N,) and ``event_shape`` (D,).
        y: Targets, (N, D).
        by: Numbers or labels, (N,); None takes the length of the middle half of each prediction, of several target
            dimensions the product of all.
        n_bins: Number of bins.
        kind: ``"central"`` for PITs of each target dimension, ``"region"`` for ranks by density, see ``hpd_rank``.
        level: Level of the coverage, in (0, 1).
        band: Probability of the band of the coverage, in (0, 1).
        n_samples: Samples of each prediction that ranks by density in several dimensions are taken among.
        generator: Source of randomness at counts and atoms, and of ranks by density; None takes a fixed seed.

    Raises:
        ValueError: Targets of another shape, groups that do not fit the rows, fewer than 20 rows a bin, or a label
            of fewer than 5 rows.

    References:
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
    """
    level = _checks.number_between("level", level, 0.0, 1.0)
    band = _checks.number_between("band", band, 0.0, 1.0)
    n_bins = _checks.integer_at_least("n_bins", n_bins, 1)
    u = uniforms(distribution, y, kind, generator, n_samples)
    _checks.rows_at_least(len(u), _FEWEST, "calibration in groups")
    names, number = _by_spread(distribution, n_bins) if by is None else _grouped(by, len(u), n_bins)
    found = [_of_group(name, u[number == i], kind, level, band) for i, name in enumerate(names)]
    flat = [entry for entries in found for entry in entries]
    adjusted = holm([entry["p_value"] for entry in flat])
    verdicts = [verdict_of(p, entry.pop("coefficients"), kind) for entry, p in zip(flat, adjusted, strict=True)]
    groups = [
        GroupCalibration(**entry, adjusted_p_value=p, verdict=verdict)
        for entry, p, verdict in zip(flat, adjusted, verdicts, strict=True)
    ]
    groups.sort(key=lambda group: (group.p_value, -group.calibration_error))
    return CalibrationBy(tuple(groups), "predicted spread" if by is None else "by", level, band)


def group_labels(name: str, value: Any, n_rows: int) -> NDArray[Any]:
    """Return what groups rows, (N,): numbers, or text; anything else as text."""
    array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    _checks.matches_shape(name, array.shape, (n_rows,), "with one for each row")
    lacking = [place for place, label in enumerate(array.tolist()) if label is None or label != label]
    if lacking:
        raise _checks.InputError(
            f"{name} must have no missing values; got {array[lacking[0]]} in {_checks.row(lacking[0])}."
        )
    return array if array.dtype.kind in "iufb" else array.astype(str)


def holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted so that the smallest of true hypotheses keeps its meaning."""
    values = np.array(p_values)
    order = values.argsort()
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1.0)
    out = np.empty_like(values)
    out[order] = adjusted
    return [float(value) for value in out]


def _of_group(name: str, u: Tensor, kind: Kind, level: float, band: float) -> list[dict[str, Any]]:
    """Return what is known of a group's numbers (n, C), one entry for each column."""
    _checks.rows_at_least(len(u), _FEWEST, f"group {name!r}")
    tested = uniformity_test(u, kind=kind)
    inside = ((2 * u - 1).abs() if kind == "central" else u) <= level
    low, high = pointwise_band(len(u), torch.tensor([level], dtype=torch.float64), band)
    errors = distance_from_uniform(u.T.numpy())
    return [
        {
            "group": name,
            "dim": dim,
            "n_rows": len(u),
            "coverage": float(inside[:, dim].double().mean()),
            "coverage_low": float(low),
            "coverage_high": float(high),
            "mean_pit": float(u[:, dim].mean()),
            "calibration_error": float(errors[dim]),
            "noise_floor": expected_error(len(u)),
            "p_value": float(tested.p_value[dim]),
            "coefficients": tested.coefficients[dim].tolist(),
        }
        for dim in range(u.shape[1])
    ]


def _by_spread(distribution: Prediction, n_bins: int) -> tuple[list[str], Tensor]:
    """Return groups by how wide each prediction is; where there are few widths, those of few rows join the next."""
    # Logarithms in single precision, so that spreads which differ by rounding are one.
    logs, number = np.unique(log_spread(distribution).float().flatten().cpu().numpy(), return_inverse=True)
    spread, count = np.exp(logs.astype(np.float64)), np.bincount(number)
    if len(spread) > n_bins:
        return _grouped(spread[number], len(number), n_bins)
    begins = [0]
    for i in range(1, len(spread)):
        if count[begins[-1] : i].sum() >= _FEWEST and count[i:].sum() >= _FEWEST:
            begins.append(i)
    group = np.searchsorted(begins, np.arange(len(spread)), side="right") - 1
    ends = [np.unique(spread[group == g][[0, -1]]) for g in range(len(begins))]
    return [" to ".join(f"{end:.6g}" for end in own) for own in ends], torch.from_numpy(group[number])


def _grouped(by: Any, n_rows: int, n_bins: int) -> tuple[list[str], Tensor]:
    """Return names of groups, and the number of the group of each row, (N,)."""
    values = group_labels("by", by, n_rows)
    numeric = values.dtype.kind in "iufb"
    if numeric and not np.isfinite(values.astype(float)).all():
        row = int((~np.isfinite(values.astype(float))).nonzero()[0][0])
        raise _checks.InputError(f"by must hold finite numbers; got {values[row]} in {_checks.row(row)}.")
    labels, number = np.unique(values, return_inverse=True)
    if not numeric or len(labels) <= n_bins:
        return [_label(label) for label in labels.tolist()], torch.from_numpy(number)
    _checks.rows_at_least(n_rows, _ROWS_A_BIN * n_bins, f"{_checks.counted(n_bins, 'bin')} of at least {_ROWS_A_BIN}")
    ends = np.quantile(values.astype(float), np.arange(1, n_bins) / n_bins)
    number = np.searchsorted(np.unique(ends), values.astype(float), side="left")
    there, number = np.unique(number, return_inverse=True)
    ends = np.array([[values[number == i].min(), values[number == i].max()] for i in range(len(there))], dtype=float)
    digits = _digits(ends)
    return [f"{low:.{digits}g} to {high:.{digits}g}" for low, high in ends.tolist()], torch.from_numpy(number)


def _digits(ends: NDArray[np.float64]) -> int:
    """Return how many digits tell all ends of bins apart, at least 4."""
    different = np.unique(ends).tolist()
    enough = (n for n in range(4, 17) if len({f"{end:.{n}g}" for end in different}) == len(different))
    return next(enough, 17)


def _label(label: Any) -> str:
    return f"{label:.12g}" if isinstance(label, float) else str(label)
