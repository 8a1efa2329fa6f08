"""What the forecast study concludes, in sentences made of what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from manymodes.studies.forecast.electricity import MDN, Judged
from manymodes.studies.forecast.returns import ALWAYS_ONE, DIAGONAL, Returns
from manymodes.studies.forecast.wells import STARTS, Wells
from manymodes.studies.frame.result import Measured

_POINTS = 0.03  # how far from 90 % coverage may be
_NEAR = 0.05  # total variation distance


def of_crps(all_judged: Sequence[Judged]) -> list[str]:
    """Return where the mixture is ahead of all others, and by how much in each case."""
    ahead = [one for one in all_judged if _lead(one).mean < 0]
    overall = (
        f"By CRPS the {MDN} is ahead of every other model in {_of(len(ahead), len(all_judged))} (a series at a "
        "horizon)."
    )
    return [overall, " ".join(map(_one_case, all_judged))]


def _one_case(one: Judged) -> str:
    rival, gap = one.best_other(), _lead(one)
    sure = gap.error is not None and abs(gap.mean) > 2 * gap.error
    share = abs(gap.mean) / one.value(rival, "crps").mean
    side = "lower" if gap.mean < 0 else "higher"
    doubt = "" if sure else ", a difference that may be chance"
    return f"{_upper(str(one.case))}: {share:.1%} {side} than the best other, {rival}{doubt}."


def _lead(one: Judged) -> Measured:
    return one.difference(MDN, one.best_other(), "crps")


def of_coverage(all_judged: Sequence[Judged]) -> str:
    """Return how often intervals hold what they promise."""
    inside = {str(one.case): one.value(MDN, "coverage").mean for one in all_judged}
    near = [case for case, share in inside.items() if abs(share - 0.9) <= _POINTS]
    listed = ", ".join(f"{share:.1%} for the {case}" for case, share in inside.items())
    return (
        f"Of the targets, 90 % should be inside the central 90 % intervals; in {_of(len(near), len(inside))} the share "
        f"is within 3 points of that: {listed}."
    )


def of_paths(all_judged: Sequence[Judged]) -> str:
    """Return who has the best whole paths."""
    ahead = sum(one.difference(MDN, one.best_other("energy_score"), "energy_score").mean < 0 for one in all_judged)
    return (
        f"By the energy score, which judges whole paths and so how hours hang together, it is ahead in "
        f"{_of(ahead, len(all_judged))}."
    )


def of_wells(wells: Wells) -> str:
    """Return how near both futures are to the truth."""
    distances = [wells.distance(MDN, i) for i in range(len(STARTS))]
    is_near = max(distances) < _NEAR
    verdict = "found with the right probabilities" if is_near else "not found to the precision asked for"
    others = [name for name in wells.records if name != MDN]
    told = ", ".join(
        f"{wells.right(i, MDN):.0%} for the right well from {start:g} (truth {wells.right(i):.0%})"
        for i, start in enumerate(STARTS)
    )
    rivals = "".join(f" {_upper(name)} at each step is {wells.distance(name, 0):.3f} away." for name in others)
    return (
        f"On the double well both futures are {verdict}: {told}; the total variation distance of the histogram is "
        f"{' and '.join(f'{d:.3f}' for d in distances)}, where below {_NEAR} was asked for.{rivals}"
    )


def of_returns(returns: Returns) -> str:
    """Return what correlations and changing widths are worth for returns."""
    correlated = returns.difference(MDN, DIAGONAL)
    best = max((m for m in returns.records if m != MDN), key=lambda m: returns.value(m, "log_score").mean)
    against = returns.difference(MDN, best)
    constant = returns.difference(MDN, ALWAYS_ONE)
    return (
        f"For the returns of four indices, correlations within the components are worth {correlated} nats a day. "
        f"Against {ALWAYS_ONE} the mixture differs by {constant} nats, and against the best other model, {best}, by "
        f"{against}; more is better."
    )


def _of(count: int, total: int) -> str:
    counted = "all" if count == total else f"{count} of" if count else "none of"
    return f"{counted} {total} cases"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
