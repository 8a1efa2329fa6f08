"""``report.html``: what a model is worth, in one file that opens from disk; one module for each of its sections."""

from __future__ import annotations

from dataclasses import replace

from manymodes.apps.report.calibration import calibration_parts
from manymodes.apps.report.data import data_parts
from manymodes.apps.report.densities import density_parts
from manymodes.apps.report.importance import importance_parts, importances
from manymodes.apps.report.judged import Judged
from manymodes.apps.report.lead import findings, lead, title
from manymodes.apps.report.living import HEADING, NO_LIFE, can_live, living_part
from manymodes.apps.report.scores import score_parts
from manymodes.apps.report.training import training_parts
from manymodes.apps.report.use import use_parts
from manymodes.apps.report.worst import worst_parts
from manymodes.pages import contents, page, paragraph, section

__all__ = ["Judged", "report_page"]

_ROWS = 2000  # that charts and the worst predictions are of; scores are of all


def report_page(judged: Judged) -> str:
    """Return the report of a model and the rows that it is judged on."""
    some = judged.some(_ROWS)
    found, rows = importances(some), judged.rows_in_headings
    some = some if found is None else replace(some, ranked=list(map(str, found["feature"])))
    parts = {
        "scores": (f"Scores on {rows}", score_parts(judged)),
        "densities": (f"p(y | x) for some {rows}", density_parts(some)),
        "calibration": ("Calibration: do probabilities mean what they say?", calibration_parts(some)),
        "features": ("Which features move the density", importance_parts(some, found)),
        "worst": ("Rows that were predicted worst", worst_parts(some, linked=can_live(judged))),
        "data": ("The data", data_parts(some)),
        "training": ("Training", training_parts(some)),
        "use": ("Use the model", use_parts(some)),
    }
    places = {anchor: heading for anchor, (heading, _) in parts.items()}
    sections = [section(heading, *body, anchor=anchor) for anchor, (heading, body) in parts.items()]
    living = [living_part(some, len("".join(sections).encode()))] if can_live(judged) else []
    return page(
        title(judged),
        lead(judged),
        [
            *findings(some),
            *_about_sample(judged),
            contents(({"living": HEADING} if living else {}) | places),
            *(living or [paragraph(NO_LIFE, "note")]),
            *sections,
        ],
    )


def _about_sample(judged: Judged) -> list[str]:
    if judged.n_rows <= _ROWS:
        return []
    return [
        paragraph(f"Scores are of all {judged.n_rows} rows, all else on this page of {_ROWS} of them, drawn at random.")
    ]
