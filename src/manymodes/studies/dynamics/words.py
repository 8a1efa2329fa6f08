"""What to conclude from planning, in sentences made of what was measured."""

from __future__ import annotations

from manymodes import _checks
from manymodes.studies.dynamics.tasks import CERTAIN, CVAR, MEAN, Records, Task, difference, exact, value
from manymodes.studies.frame.result import Measured


def of_mean_state(task: Task, records: Records) -> str:
    """Return whether particles beat the mean state, in the mean of returns."""
    gap = difference(records, MEAN, CERTAIN, "return")
    verdict = {"better": "is beaten", "worse": "is not beaten but better", "level": "is not clearly beaten"}[side(gap)]
    return (
        f"{named(task)}: planning for the mean state {verdict}. It returns {value(records, CERTAIN, 'return')} an "
        f"episode, planning for the mean return of particles {value(records, MEAN, 'return')}: a difference of {gap}, "
        f"pair by pair over {_checks.counted(len(records), 'seed')}. {_share(records, CERTAIN)} of its episodes go "
        f"{task.beyond}, and {_share(records, MEAN)} of those planned with particles."
    )


def of_caution(task: Task, records: Records) -> str:
    """Return what is paid for planning for the worst cases, and what is got."""
    paid, got = (difference(records, CVAR, MEAN, what) for what in ("return", "tail"))
    beside = difference(records, CVAR, CERTAIN, "tail")
    tails = [str(value(records, way, "tail")) for way in (CERTAIN, MEAN, CVAR)]
    meaning = {
        ("worse", "better"): "a better tail, paid for in the mean",
        ("level", "better"): "a better tail at no clear cost",
        ("better", "better"): "better in both",
    }.get((side(paid), side(got)), "no clear gain in the tail")
    return (
        f"{named(task)}: the worst tenth of episodes returns {tails[0]} planned for the mean state, {tails[1]} for the "
        f"mean return and {tails[2]} for the 10 % CVaR (beside the mean state a difference of {beside}). CVaR in place "
        f"of the mean return changes the worst tenth by {got} and the mean by {paid}: {meaning}. "
        f"{_share(records, CVAR)} of its episodes go {task.beyond}."
    )


def of_learning(task: Task, records: Records) -> str:
    """Return how near the learned density is to the exact one, and what that costs."""
    gap = Measured.over(record["nll, model"] - record["nll, exact"] for record in records)
    lost = difference(records, MEAN, exact(MEAN), "return")
    known = difference(records, exact(MEAN), exact(CERTAIN), "return")
    worth = {"better": "more", "worse": "less", "level": "about as much"}[side(lost)]
    verdict = {"better": "is beaten", "worse": "is better", "level": "is not clearly beaten"}[side(known)]
    why = ": what is missing there is not knowledge of the mean" if side(known) == "better" else ""
    return (
        f"{named(task)}: the learned density is {gap} nats a transition behind the exact one, and plans for the mean "
        f"return made with it return {worth} (a difference of {lost}). With the exact density planning for the "
        f"mean state {verdict} (a difference of {known}){why}."
    )


def named(task: Task) -> str:
    """Return the name of a task, to begin a sentence with."""
    return task.name[:1].upper() + task.name[1:]


def side(gap: Measured) -> str:
    """Return whether a difference is better (above 0), worse, or level as far as seeds tell; so it is of one seed."""
    if gap.error is None or abs(gap.mean) <= 2 * gap.error:
        return "level"
    return "better" if gap.mean > 0 else "worse"


def _share(records: Records, way: str) -> str:
    return f"{value(records, way, 'failed').mean:.0%}"
