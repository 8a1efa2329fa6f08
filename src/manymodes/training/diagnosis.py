"""What a fit did, in words: how it ended, what its components are good for, and what to try next.

``examine`` looks at a fitted network once; ``in_words`` reads the findings and the curves of a history.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from manymodes import _checks, objectives
from manymodes.distributions import Component, Declared, Incomplete, Mixture, Product, constraints
from manymodes.distributions.wrapped import Wrapped
from manymodes.nn import MixtureDensityNetwork
from manymodes.training.data import Rows, Split

if TYPE_CHECKING:
    from manymodes.training.history import History

_MOST_ROWS = 2000  # that are looked at
_DEAD = 1e-3  # mean weight and mean responsibility of a component that does nothing
_SAME = 0.1  # nats: mean difference of two components' log-densities, as between normals 0.13 scales apart
_AT_FLOOR = 1.5  # times min_scale: softplus hardly lets a scale come nearer
_NAMED_ROWS = 5

_PARTS = 20  # a running median reaches over one twentieth of the epochs to either side
_LATE = 0.75  # of the epochs: a best epoch after it may not have been the last
_CLEAR = 0.05  # of the whole fall of the validation loss, for a rise or a fall to be told
_NOISY = 8.0  # standard errors of a smoothed loss, likewise
_APART = 5.0  # standard errors of a validation loss, were its rows' losses 1 nat apart
_MANY_AT_FLOOR = 0.01  # of the rows


@dataclass(frozen=True)
class Findings:
    """What a fitted network's components do on its training rows; numbers that JSON can hold.

    Attributes:
        n_components: Components of each member.
        dead_components: How many of them have a mean weight and a mean responsibility below 0.001, averaged over
            members.
        duplicate_components: How many of them have nearly the density of another one that comes before them, likewise.
        min_scale: The floor of scales, in scaled units.
        floor_share: Share of rows whose responsible component has a scale below 1.5 times the floor.
        floor_rows: The first of those rows where most members agree, counted from 0.
        train_score: Mean negative log-likelihood of training rows in scaled units; None where it is not finite.
        validation_score: The same of validation rows.
    """

    n_components: int
    dead_components: float
    duplicate_components: float
    min_scale: float
    floor_share: float
    floor_rows: tuple[int, ...]
    train_score: float | None
    validation_score: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as JSON can hold them."""
        return asdict(self) | {"floor_rows": list(self.floor_rows)}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Self:
        """Return the findings that ``to_dict`` gave ``record`` of."""
        known = [entry.name for entry in fields(cls)]
        unknown = [name for name in record if name not in known]
        if unknown:
            raise _checks.InputError(f"findings have no {_checks.quoted(unknown)}.")
        return cls(**(record | {"floor_rows": tuple(record["floor_rows"])}))


# --- looking at a network ---


@torch.no_grad()
def examine(network: MixtureDensityNetwork, parts: Split) -> Findings:
    """Return what the components of a fitted network do, on at most 2,000 training and as many validation rows.

    Args:
        network: The network, in evaluation mode.
        parts: The rows that it was fitted to, in its scaled units.
    """
    index, rows = _some(parts.train, parts.train_index)
    distribution = network.scaled_distribution(rows.x)
    log_joint = distribution.component_log_prob(rows.y)  # (..., N, K)
    share = distribution.responsibilities(rows.y)
    dead = (distribution.weights.mean(-2) < _DEAD) & (share.mean(-2) < _DEAD)
    min_scale = network.head.min_scale
    width = _widths(distribution.components).expand(share.shape).gather(-1, share.argmax(-1, keepdim=True))
    at_floor = width.squeeze(-1) < _AT_FLOOR * min_scale
    held_out = _some(parts.held_out, parts.held_out_index)[1]
    return Findings(
        n_components=distribution.n_components,
        dead_components=_per_member(dead),
        duplicate_components=_per_member(_duplicates(log_joint - distribution.logits, share) & ~dead),
        min_scale=min_scale,
        floor_share=float(at_floor.float().mean()),
        floor_rows=_commonest(index[at_floor]),
        train_score=_score(distribution, rows),
        validation_score=_score(network.scaled_distribution(held_out.x), held_out),
    )


def _some(rows: Rows, index: Tensor) -> tuple[Tensor, Rows]:
    """Return at most 2,000 of the rows that each member has, and their numbers, (M, n) or (n,)."""
    stride = -(-index.shape[-1] // _MOST_ROWS)
    index = index[..., ::stride]
    return index, rows.take(index)


def _per_member(which: Tensor) -> float:
    """Return how many components of a member, (..., K), are marked, on average."""
    return float(which.sum(-1).float().mean())


def _duplicates(log_density: Tensor, share: Tensor) -> Tensor:
    """Return which components have the density of an earlier one where either is responsible, (..., K).

    Args:
        log_density: Log-densities of each component at the targets, (..., N, K).
        share: Responsibilities, (..., N, K).
    """
    n_components = share.shape[-1]
    found = torch.zeros_like(share[..., 0, :], dtype=torch.bool)
    for k in range(1, n_components):
        concerned = share[..., :k] + share[..., k : k + 1]  # (..., N, k)
        gap = (log_density[..., :k] - log_density[..., k : k + 1]).abs()
        gap = torch.where(concerned > 0, gap, 0.0).nan_to_num(nan=0.0)
        total = concerned.sum(-2)
        same = (concerned * gap).sum(-2) <= _SAME * total
        found[..., k] = (same & (total > _DEAD * share.shape[-2])).any(-1)
    return found


def _widths(component: Component) -> Tensor:
    """Return the narrowest of the scales that each component has from a head, (..., K); infinite without any."""
    if isinstance(component, Product):
        return torch.stack([_widths(block) for block in component.blocks]).amin(0)
    if isinstance(component, Wrapped):
        return _widths(component.base)
    if not isinstance(component, Declared):
        return torch.cat([_widths(group) for group in component.groups], -1)
    widths = [component.mean.new_full(component.batch_shape, torch.inf)]
    for name, parameter in component.parameters.items():
        value: Tensor = getattr(component, name)
        if parameter.constraint is constraints.scale:
            widths.append(value.amin(-1))
        elif parameter.constraint is constraints.scale_tril:
            widths.append(value.diagonal(dim1=-2, dim2=-1).amin(-1))
        elif parameter.constraint is constraints.concentration:
            widths.append(value.rsqrt().amin(-1))
    return torch.stack(widths).amin(0)


def _commonest(rows: Tensor) -> tuple[int, ...]:
    """Return the first rows among those that occur at least half as often as any."""
    if not len(rows):
        return ()
    numbers, counts = rows.unique(return_counts=True)
    first: list[int] = numbers[2 * counts >= counts.max()][:_NAMED_ROWS].tolist()
    return tuple(first)


def _score(distribution: Mixture, rows: Rows) -> float | None:
    y: Tensor | Incomplete = rows.y
    score = float(objectives.nll(distribution, y, rows.weight).mean())
    return score if math.isfinite(score) else None


# --- words ---


def in_words(history: History) -> str:
    """Return what happened during a fit, and what to try, one sentence or two to a line."""
    if history.n_epochs == 0:
        return "No epoch has run yet."
    told = [_about_the_end(history), _about_the_curve(history), _about_batches(history), _about_members(history)]
    if history.findings is not None:
        told += [_about_idle(history.findings), _about_floor(history.findings), _about_scores(history.findings)]
    if _is_negative(history):
        told.append("A negative loss (NLL) is normal: the density is above 1 where the targets fall. Lower is better.")
    return "\n".join(line for line in told if line)


def _about_the_end(history: History) -> str:
    kept = f"it kept the weights of epoch {history.best_epoch + 1}"
    if history.n_members > 1:
        first, last = min(history.best_epochs) + 1, max(history.best_epochs) + 1
        which = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        kept = f"its {history.n_members} members kept the weights of {which}"
    seconds = f"{history.seconds:.3g} s"
    if not history.stopped_early:
        return f"The fit ran all {_checks.counted(history.n_epochs, 'epoch')} in {seconds}; {kept}."
    stopped = f"The fit stopped after {history.n_epochs} of {history.max_epochs} planned epochs, in {seconds}"
    if history.ended_by == "patience":
        waited = history.n_epochs - 1 - max(history.best_epochs)
        return f"{stopped}, for nothing had improved over {_checks.counted(waited, 'epoch')} (patience); {kept}."
    if history.ended_by == "time_limit":
        return f"{stopped}, since its time was up (time_limit); {kept}."
    return f"{stopped}; {kept}."


def _about_the_curve(history: History) -> str:
    """Say whether the validation loss rose, still fell or had settled at the end."""
    validation, train = _smooth(history.validation_loss), _smooth(history.train_loss)
    if len(validation) < 4 or not all(map(math.isfinite, validation)):
        return ""
    lowest, end = min(validation), len(validation) - 1 - _reach(validation)  # the last that is a median of so many
    turn = validation.index(lowest)
    fall, rise = validation[0] - lowest, validation[end] - lowest
    enough = max(_CLEAR * fall, _NOISY * _noise(history.validation_loss, validation))
    if rise > enough and train[end] < train[turn]:
        return (
            f"It over-fitted from epoch {turn + 1} on: the validation loss rose by {rise:.2g} while the training loss "
            "still fell. Predictions use the weights kept before; more rows, dropout, weight_decay or members, or "
            "fewer hidden units, may carry them further."
        )
    gain = validation[len(validation) // 2] - validation[-1]
    is_late = max(history.best_epochs) >= _LATE * history.n_epochs - 1
    if is_late and gain > enough:
        remedy = "more time" if history.ended_by == "time_limit" else "more epochs"
        return (
            f"The validation loss was still falling, by {gain:.2g} over the second half: {remedy}, or a higher lr, may "
            "help."
        )
    return "The validation loss had settled by the end: for a schedule of this length, the fit converged."


def _about_batches(history: History) -> str:
    if not history.skipped_batches:
        return ""
    skipped = _checks.counted(history.skipped_batches, "batch").replace("batchs", "batches")
    verb = "was" if history.skipped_batches == 1 else "were"
    return (
        f"{skipped} had a loss or gradient that is not finite and {verb} skipped; if there are many, lower lr or look "
        "for extreme values in the features."
    )


def _about_members(history: History) -> str:
    """Name the members whose best validation loss is far above the middle one's."""
    losses = history.best_losses
    if len(losses) < 3 or not all(map(math.isfinite, losses)):
        return ""
    middle = median(losses)
    fall = max(0.0, history.validation_loss[0] - middle)
    enough = max(_APART / math.sqrt(max(history.n_validation, 1)), 4 * _CLEAR * fall)
    far = [m + 1 for m, loss in enumerate(losses) if loss - middle > enough]
    if not far:
        return ""
    who = f"Member {far[0]} ends" if len(far) == 1 else f"Members {', '.join(map(str, far))} end"
    return (
        f"{who} far above the others: a best validation loss of up to {max(losses):.2f} against {middle:.2f} in the "
        "middle. Their validation rows may be hard, or the fit got stuck; try another random_state or a lower lr."
    )


def _about_idle(findings: Findings) -> str:
    told = []
    for count, what in (
        (findings.dead_components, "are hardly ever used (weight and responsibility below 0.001)"),
        (findings.duplicate_components, "repeat another one"),
    ):
        if count >= 0.5:
            told.append(f"{count:.2g} of {findings.n_components} components {what}")
    if not told:
        return ""
    return f"{' and '.join(told)}: harmless, but a smaller n_components would do."


def _about_floor(findings: Findings) -> str:
    if findings.floor_share < _MANY_AT_FLOOR:
        return ""
    rows = ", ".join(str(row + 1) for row in findings.floor_rows)
    return (
        f"For {findings.floor_share:.1%} of the training rows (say {rows}) the component responsible is as narrow as "
        f"it may be (min_scale={findings.min_scale:.3g}): values repeat there, or follow from the features exactly, "
        "and log scores say little. Score rounding cells, give repeated values a probability of their own, or raise "
        "min_scale."
    )


def _about_scores(findings: Findings) -> str:
    train, validation = findings.train_score, findings.validation_score
    if train is None or validation is None:
        return ""
    return (
        f"Mean log score with the weights kept, in standardised units: {train:.3f} on training rows, {validation:.3f} "
        "on validation rows."
    )


def _is_negative(history: History) -> bool:
    losses: Sequence[float | None] = history.best_losses
    if history.findings is not None:
        losses = (history.findings.train_score, history.findings.validation_score)
    return any(loss is not None and loss < 0 for loss in losses)


def _smooth(losses: Sequence[float]) -> list[float]:
    """Return running medians over a tenth of the epochs; what is not finite counts as infinite."""
    values = [loss if math.isfinite(loss) else math.inf for loss in losses]
    reach = _reach(values)
    return [median(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def _reach(losses: Sequence[float]) -> int:
    """Return how many epochs to either side go into a running median."""
    return max(1, len(losses) // _PARTS)


def _noise(losses: Sequence[float], smooth: Sequence[float]) -> float:
    """Return the standard error of running medians, from how far losses typically are from them."""
    typical = median([abs(loss - middle) for loss, middle in zip(losses, smooth, strict=True)])
    return 1.5 * typical / math.sqrt(2 * _reach(losses) + 1)
