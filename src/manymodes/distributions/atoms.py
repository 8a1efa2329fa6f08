"""A mixture on the line taken apart: what has a density, or lies on the integers, and what are atoms."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from manymodes import _checks
from manymodes.distributions.component import Component, Kind
from manymodes.distributions.limits import filled
from manymodes.distributions.line import Line
from manymodes.distributions.results import Atoms


class Parts(NamedTuple):
    """A mixture on the line in two parts.

    Attributes:
        kind: Kind of the spread part; ``"atom"`` where there is none.
        spread: The part that is not atoms, weights normalised; None where there is none.
        share: Log-probability of that part, (N,).
        atoms: The atoms, heaviest first.
    """

    kind: Kind
    spread: Line | None
    share: Tensor
    atoms: Atoms


def take_apart(line: Line) -> Parts:
    """Return the spread part and the atoms of mixtures on the line.

    Atoms on the integers beside counts stay with the counts: they are of one measure.

    Raises:
        ValueError: Counts beside a density, which no region or mode can rank.
    """
    kinds: set[Kind] = {group.kinds[0] for group in line.groups} - {"atom"}
    if len(kinds) > 1 or (kinds == {"count"} and not _integer_atoms(line.groups)):
        raise _checks.InputError(
            "modes and regions need components of one measure in each target dimension; got counts beside a density."
        )
    kind: Kind = next(iter(kinds), "atom")
    together = kind == "count"
    runs = list(zip(line.groups, line.logits.split([int(group.batch_shape[0]) for group in line.groups]), strict=True))
    spread = [(group, logits) for group, logits in runs if together or group.kinds[0] != "atom"]
    pointed = [] if together else [(group, logits) for group, logits in runs if group.kinds[0] == "atom"]
    atoms = _atoms(line, pointed)
    if not spread:
        return Parts(kind, None, torch.full_like(line.logits[0], -torch.inf), atoms)
    logits = torch.cat([part for _, part in spread])
    share = torch.logsumexp(logits, 0)
    own = filled(torch.log_softmax(logits, 0), -torch.inf)
    return Parts(kind, Line(own, tuple(group for group, _ in spread)), share, atoms)


def _integer_atoms(groups: tuple[Component, ...]) -> bool:
    values = [group.mean for group in groups if group.kinds[0] == "atom"]
    return all(bool((value == value.round()).all()) for value in values)


def _atoms(line: Line, pointed: list[tuple[Component, Tensor]]) -> Atoms:
    """Return atoms at different places, the heaviest first; what lies on one place is added up."""
    if not pointed:
        empty = line.logits.new_zeros(len(line), 0)
        return Atoms(empty, empty, empty.bool())
    location = torch.cat([group.mean.flatten(1) for group, _ in pointed]).T  # (N, A)
    mass = torch.cat([logits for _, logits in pointed]).exp().T
    same = location.unsqueeze(-1) == location.unsqueeze(-2)  # (N, A, A)
    first = ~same.tril(-1).any(-1)
    mass = (same * mass.unsqueeze(-2)).sum(-1) * first
    mass, order = mass.sort(-1, descending=True)
    mask = mass > 0
    return Atoms(torch.where(mask, location.gather(-1, order), torch.nan), mass, mask)
