"""Which targets a family can take, and the sentence for those that it cannot."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions import Component, Incomplete

_ONE_TURN = 2 * math.pi + 1e-5  # single precision rounds


@dataclass(frozen=True, eq=False)
class Support:
    """Where targets may lie: for every component and target dimension an interval, (K, D) each, in float64.

    Attributes:
        low: Lower ends, in the units of y.
        high: Upper ends; the same number where all probability is in one point.
        holds_low: Whether the lower end itself is a legal target.
        holds_high: Whether the upper end itself is.
        whole: Whether only integers are legal.
        angle: Whether numbers up to one turn are legal, being the same angle as one inside.
        names: Names of the families in each dimension.
        components: The components themselves.
    """

    low: Tensor
    high: Tensor
    holds_low: Tensor
    holds_high: Tensor
    whole: Tensor
    angle: Tensor
    names: tuple[tuple[str, ...], ...]
    components: Component

    @classmethod
    def of(cls, components: Component) -> Support:
        """Return the support of components in the user's units, ``batch_shape`` (K,).

        Raises:
            ValueError: An empty support, since bounds are in the wrong order.
        """
        lines = [components.marginal([dim]) for dim in range(components.event_shape[0])]
        low, high, *flags = (torch.cat(parts, -1) for parts in zip(*map(_column, lines), strict=True))
        holds_low, holds_high, whole, angle = flags
        names = tuple(tuple(dict.fromkeys(type(group).__name__ for group in line.groups)) for line in lines)
        support = cls(low, high, holds_low, holds_high, whole, angle, names, components)
        support._refuse_empty(torch.cat([_kind(line, "atom") for line in lines], -1))
        return support

    def check(self, y: Tensor | Incomplete, name: str = "y") -> None:
        """Refuse targets, (N, ..., D), that have no density and no probability, whatever the parameters are.

        Raises:
            ValueError: Such a target; the sentence names the first row.
        """
        y = y if isinstance(y, Incomplete) else Incomplete(_floating(y), _floating(y))
        n_steps = math.prod(y.shape[1:-1])
        y = y.map(lambda end: end.flatten(0, -2))
        fits = self._fits(y)  # (N, components that differ, D)
        bad = ~fits.all(-1).any(-1)
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            alone = (~fits[row].any(0)).nonzero().squeeze(-1).tolist()  # dimensions that no component takes
            raise _checks.InputError(self._sentence(name, y[row : row + 1], row // n_steps, alone))
        if bool(((y.low < y.high) & y.known).sum(-1).gt(1).any()):
            low, high = (end.to("cpu", torch.float64).unsqueeze(-2) for end in (y.low, y.high))
            self.components.interval_log_prob(low, high)  # correlated components refuse two intervals in a row

    def snapped(self, y: Tensor) -> Tensor:
        """Return targets, (N, D), in float64; what is an end in the precision of y, to all its digits.

        So a target that was stored in single precision, say 0.1, stays on a bound or an atom at 0.1 when it is scaled.
        """
        exact = y.double()
        for end in torch.cat([self.low, self.high]).unique(dim=0).to(y.device):  # (D,)
            on_it = end.isfinite() & (y == end.to(y.dtype)) if y.is_floating_point() else torch.zeros_like(y).bool()
            exact = torch.where(on_it, end, exact)
        return exact

    # --- private ---

    def _fits(self, y: Incomplete) -> Tensor:
        """Return which dimensions of which component can be where a target is known to be, (N, components, D)."""
        flags = (self.holds_low, self.holds_high, self.whole, self.angle)
        table = torch.stack([self.low, self.high, *(flag.double() for flag in flags)], -1).unique(dim=0)
        low, high, *rest = table.to(y.device).unbind(-1)
        holds_low, holds_high, whole, angle = (flag.bool() for flag in rest)
        first, last = (_floating(end).unsqueeze(-2) for end in (y.low, y.high))  # (N, 1, D)
        low, high = low.to(first.dtype), high.to(first.dtype)
        reached = (last > low) | (holds_low & (last == low))
        reached = reached & ((first < high) | (holds_high & (first == high)))
        integer = torch.maximum(first, low).ceil() <= torch.minimum(last, high).floor()
        turned = (
            angle & (first == last) & (first.abs() <= _ONE_TURN)
        )  # one turn further is the same angle, degrees are not
        fits: Tensor = (reached & (integer | ~whole)) | turned
        return fits

    def _sentence(self, name: str, y: Incomplete, row: int, alone: list[int]) -> str:
        if not alone:
            return (
                f"{name} must lie in the support of one component in all target dimensions at once; got "
                f"{y.points()[0].tolist()} first in {_checks.row(row)}."
            )
        dim = alone[0]
        where = name if y.shape[-1] == 1 else f"column {dim + 1} of {name}"
        low, high = y.low[0, dim].item(), y.high[0, dim].item()
        digits = 7 if torch.finfo(y.low.dtype).bits <= 32 else 10
        got = f"{low:.{digits}g}" if low == high else f"an interval from {low:.{digits}g} to {high:.{digits}g}"
        rules, families = _either(self._rules(dim)), _either(self.names[dim])
        return f"{where} must be {rules} for {families}; got {got} first in {_checks.row(row)}."

    def _rules(self, dim: int) -> Iterable[str]:
        columns = (self.low, self.high, self.holds_low, self.holds_high, self.whole)
        rows = zip(*(column[:, dim].tolist() for column in columns), strict=True)
        return dict.fromkeys(_rule(*row) for row in rows)

    def _refuse_empty(self, atom: Tensor) -> None:
        empty = (self.low > self.high) | ((self.low == self.high) & ~atom)
        if bool(empty.any()):
            component, dim = empty.nonzero()[0].tolist()
            low, high = (_number(end[component, dim].item()) for end in (self.low, self.high))
            raise _checks.InputError(f"low must be below high for {_either(self.names[dim])}; got {low} and {high}.")


def _column(line: Component) -> tuple[Tensor, ...]:
    """Return ends, whether they belong to the support, and kinds of one target dimension, (K, 1) each."""
    low, high = line.ends()
    holds_low, holds_high = (end.isfinite() & (line.marginal_log_prob(end) > -torch.inf) for end in (low, high))
    return low, high, holds_low, holds_high, _kind(line, "count"), _kind(line, "angle")


def _kind(line: Component, kind: str) -> Tensor:
    """Return which components of one target dimension are of a kind, (K, 1)."""
    groups = [torch.full((int(group.batch_shape[-1]), 1), group.kinds[0] == kind) for group in line.groups]
    return torch.cat(groups)


def _floating(y: Tensor) -> Tensor:
    return y if y.is_floating_point() else y.double()


def _rule(low: float, high: float, holds_low: bool, holds_high: bool, whole: bool) -> str:
    """Return in words where a target may lie."""
    if low == high:
        return _number(low)
    if (low, high, holds_low) == (0, torch.inf, False):
        return "positive"
    ends = []
    if low > -torch.inf:
        ends.append(f"{'>=' if holds_low else '>'} {_number(low)}")
    if high < torch.inf:
        ends.append(f"{'<=' if holds_high else '<'} {_number(high)}")
    noun = "a whole number " if whole else ""
    return noun + " and ".join(ends) if ends else "any number"


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)


def _number(value: float) -> str:
    return f"{value:.10g}"
