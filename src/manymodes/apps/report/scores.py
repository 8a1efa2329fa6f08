"""The report's section on scores."""

from __future__ import annotations

from collections.abc import Mapping

from manymodes import _checks
from manymodes.apps.report.judged import Judged
from manymodes.apps.scores import Scores
from manymodes.apps.summary import BASELINES, MODEL_NAMES, READING, score_tables
from manymodes.pages import paragraph, table


def score_parts(judged: Judged) -> list[str]:
    """Return tables of scores and how to read them."""
    parts = _tables(judged.scores, "")
    if judged.earlier_scores:
        n_rows = next(iter(judged.earlier_scores.values())).n_rows
        when = f", at the fit, on {_checks.counted(n_rows, 'row')} held out then"
        parts += _tables(judged.earlier_scores, when)
    parts.append(paragraph(READING))
    if len(judged.scores) > 1 or judged.earlier_scores:
        parts.append(paragraph(BASELINES))
    return parts


def _tables(scores: Mapping[str, Scores], when: str) -> list[str]:
    shown = {MODEL_NAMES.get(name, name): of_model for name, of_model in scores.items()}
    return [table(header, rows, caption=f"{title}{when}") for title, header, rows in score_tables(shown)]
