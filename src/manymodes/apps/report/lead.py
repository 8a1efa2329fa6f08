"""The beginning of the report: what the model is for, and the main finding in words."""

from __future__ import annotations

import math

from manymodes import _checks
from manymodes.apps.report.cells import percent
from manymodes.apps.report.judged import JOINT_ROWS, MODE_ROWS, Judged
from manymodes.apps.summary import MODEL_NAMES
from manymodes.estimators.judged_rows import MANY
from manymodes.pages import paragraph

_CLEAR = 2.0  # standard errors of a difference


def title(judged: Judged) -> str:
    """Return the title."""
    return f"What {_listed(judged.targets)} may be: {judged.file_name}"


def lead(judged: Judged) -> str:
    """Return the first sentences: what was learned from what, and what is judged."""
    history = judged.history
    features = "1 feature" if len(judged.features) == 1 else f"{len(judged.features)} features"
    learned = (
        f"This model tells, for each row of {features}, how probable every value of {_listed(judged.targets)} is. Its "
        f"{_checks.counted(history.n_members, 'network')} learned from {_checks.counted(history.n_train, 'row')} and "
        f"chose when to stop on {_checks.counted(history.n_validation, 'other')}; "
    )
    if judged.held_out:
        return f"{learned}{_checks.counted(judged.n_rows, 'row')} that it has not seen judge it here."
    return f"{learned}here it is judged on {_checks.counted(judged.n_rows, 'row')} of {judged.file_name}."


def findings(judged: Judged) -> list[str]:
    """Return paragraphs with the main finding: how many modes, and how good beside the baselines."""
    told = [paragraph(_about_modes(judged), "finding")]
    told += [paragraph(_about_rival(judged, name), "finding") for name in judged.log_scores if name != "model"]
    told += [paragraph(_about_earlier(judged), "finding")] if len(judged.earlier_scores) > 1 else []
    if judged.training_share > MANY:
        told.append(
            paragraph(
                f"Mind: about {percent(judged.training_share)} of these rows are rows of the fit, on which the model "
                "looks better than it is. Scores, calibration and importance below say little about new rows; the "
                "worst rows and what features do are worth a look all the same.",
                "note",
            )
        )
    if judged.history.ended_by == "interrupt":
        told.append(paragraph("The fit was interrupted: this is the best model until then, not the final one.", "note"))
    return told


def _about_modes(judged: Judged) -> str:
    counts, target = judged.mode_counts, _listed(judged.targets)
    several = sum(share for count, share in counts.items() if count > 1)
    if several < 0.05:
        return f"One answer is enough: nearly all predictions of {target} have a single mode (a single likely place)."
    shares = [
        f"{_checks.counted(count, 'mode')} in {percent(share)}" for count, share in counts.items() if share >= 0.005
    ]
    most = JOINT_ROWS if len(judged.targets) > 1 else MODE_ROWS
    if judged.n_rows > most:
        shares.append(f"of {most} rows that were looked at")
    often = "A typical prediction has" if several >= 0.5 else "Some predictions have"
    return (
        f"{often} several answers: {percent(several)} of the densities of {target} have more than one mode, that is, "
        f"places where the target is likely with less likely values between them ({', '.join(shares)}). The average of "
        "such a density may be a value that hardly ever happens."
    )


def _about_rival(judged: Judged, name: str) -> str:
    gain, error = judged.advantage(name)
    rival = _RIVALS.get(name, f"'{MODEL_NAMES.get(name, name)}'")
    if not math.isfinite(error) or abs(gain) < _CLEAR * error:
        return (
            f"Beside {rival}: no clear difference on these rows ({gain:+.2f} ± {error:.2f} nats a row in the log "
            "score; above 0 is better)."
        )
    factor = math.exp(min(abs(gain), 50.0))
    times = f"{factor:.2f}" if factor < 10 else f"{factor:.0f}" if factor < 1000 else "over 1,000"
    if gain > 0:
        return (
            f"Better than {rival}: what happened was given {times} times the probability, in the geometric mean "
            f"({gain:.2f} ± {error:.2f} nats a row in the log score)."
        )
    return (
        f"Worse than {rival}, by {-gain:.2f} ± {error:.2f} nats a row in the log score: the features or the rows may "
        "say too little about the target for a mixture, or rows come from elsewhere than those of the fit."
    )


def _about_earlier(judged: Judged) -> str:
    """Return how the model stood beside its baselines when it was fitted."""
    scores = judged.earlier_scores
    gains = [
        f"{scores[name].log_score - scores['model'].log_score:+.2f} nats beside {_RIVALS.get(name, name)}"
        for name in scores
        if name != "model"
    ]
    return (
        f"When it was fitted, the log score was ahead, on {_checks.counted(scores['model'].n_rows, 'row')} held out "
        f"then, by {' and by '.join(gains)} (below 0 is behind)."
    )


_RIVALS = {
    "gaussian_network": "a network that predicts a single bell curve",
    "unconditional": "a guess that ignores all features",
}


def _listed(names: list[str]) -> str:
    shown = names[:4]
    more = [f"{len(names) - 4} more"] if len(names) > 4 else []
    parts = [*shown, *more]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
