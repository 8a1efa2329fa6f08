"""What was found in a column of targets, in words: what was done about it, and what else would help."""

from __future__ import annotations

from collections.abc import Sequence

from manymodes import _checks
from manymodes.estimators.targets.facts import OUTLIER, Atom, TargetFacts
from manymodes.estimators.targets.families import COUNTS, Family

_MANY_TIES = 0.2  # share of rows that repeat values without a lattice, from which on it is told
_SHOWN = 3


def about_target(
    facts: TargetFacts,
    name: str,
    *,
    floor: float = 1e-3,
    n_targets: int = 1,
    rounding: float | None = None,
    atoms: Sequence[float] = (),
    family: Family | None = None,
) -> list[str]:
    """Return what was found and what was done about it; advice only where it was not followed yet.

    Args:
        facts: What was found.
        name: Name of the column.
        floor: Smallest scale of a component, in standard deviations.
        n_targets: How many columns are predicted jointly.
        rounding: Width of the rounding cells whose probability is scored; None scores densities.
        atoms: Values that have a probability of their own.
        family: The components' family, where it was chosen.
    """
    name = repr(name)
    plain = n_targets == 1 and rounding is None  # atoms and rounding cells are for a single target, and exclude another
    if family in COUNTS:  # which live on a lattice
        return [_about_atom(atom, facts, name, atoms, offer=plain) for atom in facts.atoms[:_SHOWN]]
    told = _about_lattice(facts, name, floor, rounding, offer=plain and not atoms and not _advisable(facts))
    told += [_about_atom(atom, facts, name, atoms, offer=plain) for atom in facts.atoms[:_SHOWN]]
    return told + _about_ties(facts, name, floor) + _about_tails(facts, name, family)


def _advisable(facts: TargetFacts) -> list[Atom]:
    """Return the atoms that may have a probability of their own, since they are no codes."""
    return [atom for atom in facts.atoms if not atom.is_code]


def _about_lattice(facts: TargetFacts, name: str, floor: float, rounding: float | None, *, offer: bool) -> list[str]:
    step, scale = facts.step, facts.scale
    if step is None or step < 2 * floor * scale:  # no scale would be narrow enough to see the cells
        return []
    if facts.share_on_lattice == 1:
        told = f"{name} takes {facts.n_distinct} values on a lattice of step {_number(step)}"
    else:
        told = f"{facts.share_on_lattice:.1%} of {name} lie on a lattice of step {_number(step)}"
    if rounding is not None:
        return [f"{told}; what counts is the probability of rounding cells {_number(rounding)} wide."]
    part = floor * scale / step
    told += f"; component scales do not fall below {'a sixth' if 0.16 < part < 0.17 else f'{part:.2g}'} of it."
    return [told + (f" To score the rounding cell itself, pass rounding={_number(step)}." if offer else "")]


def _about_ties(facts: TargetFacts, name: str, floor: float) -> list[str]:
    ties = facts.share_repeated - sum(atom.share for atom in facts.atoms)
    if facts.step is not None or ties < _MANY_TIES or facts.spacing <= 2 * floor * facts.scale:
        return []
    return [
        f"{ties:.1%} of {name} repeat values of other rows, though on no lattice: a density can rise there without "
        "knowing more; a larger min_scale limits it."
    ]


def _about_atom(atom: Atom, facts: TargetFacts, name: str, given: Sequence[float], *, offer: bool) -> str:
    value = _number(atom.value)
    rows = f"{_checks.counted(atom.count, 'row')} ({atom.share:.1%}) of {name}"
    if atom.value in given:
        return f"{rows} are exactly {value}, which has a probability of its own."
    if atom.is_code:
        return f"{rows} are {value}, far from all others; if that stands for a missing value, drop them."
    values = [*given, *(other.value for other in _advisable(facts) if other.value not in given)]
    remedy = f"pass atoms=({', '.join(map(repr, values))}{',' if len(values) == 1 else ''})"
    if atom.value == 0 or atom.place == "inside":
        remedy = f"; {remedy} to give that value a probability of its own" if offer else ""
        return f"{atom.share:.1%} of {name} are exactly {value}{remedy}."
    remedy = f"; hand them in as censored (y_lower or y_upper), or {remedy}" if offer else ""
    return f"{rows} sit at the {atom.place} value, {value}: the target may be cut off there{remedy}."


def _about_tails(facts: TargetFacts, name: str, family: Family | None) -> list[str]:
    advice = "" if family == "student_t" else "; pass family='student_t'"
    if facts.outliers:
        first = f" (first: {_checks.row(facts.outlier_rows[0])})" if facts.outlier_rows else ""
        rows = f"{_checks.counted(facts.outliers, 'row')} ({facts.outliers / facts.n_rows:.2%}) of {name}"
        verb = "lies" if facts.outliers == 1 else "lie"
        return [
            f"{rows} {verb} more than {OUTLIER:g} robust standard deviations out{first}; check them"
            + (f"{advice} if they are right." if advice else ".")
        ]
    if facts.heavy_tailed and advice:
        return [f"The tails of {name} are heavier than those of normals{advice} where its density matters there."]
    return []


def _number(value: float) -> str:
    return f"{value:.10g}"
