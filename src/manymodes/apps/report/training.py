"""The report's section on training: the learning curve, what happened in words, and notes on the data."""

from __future__ import annotations

import math

from manymodes import _checks
from manymodes.apps.report.judged import Judged
from manymodes.pages import Chart, bullets, paragraph, subheading
from manymodes.training import History


def training_parts(judged: Judged) -> list[str]:
    """Return the learning curve, the diagnosis and the notes."""
    told = [bullets(judged.history.diagnosis().splitlines())]
    curve = [] if judged.history.n_epochs < 1 else [_learning_curve(judged.history)]
    if not judged.notes:
        return [*curve, *told, paragraph("Nothing stands out in the values of targets and features.")]
    return [*curve, *told, subheading("What stands out in targets and features"), bullets(judged.notes)]


def _learning_curve(history: History) -> str:
    curves = {"blue": history.train_loss, "orange": history.validation_loss}
    ordered = sorted(loss for losses in curves.values() for loss in losses if math.isfinite(loss)) or [0.0]
    low, high = ordered[0], ordered[int(0.98 * (len(ordered) - 1))]  # the first epochs would flatten the rest
    room = 0.05 * (high - low)
    chart = Chart(
        (1.0, float(history.n_epochs)),
        (low - room, high + room),
        x_label="epoch",
        y_label="loss (scaled units)",
    )
    for style, losses in curves.items():
        known = [(i + 1.0, loss) for i, loss in enumerate(losses) if math.isfinite(loss)]
        points = [(epoch, min(max(loss, low), high + room)) for epoch, loss in known]
        if points:
            chart.curve([point[0] for point in points], [point[1] for point in points], style)
    chart.vertical(history.best_epoch + 1.0)
    return chart.figure(
        f"Loss on training batches (blue, with dropout) and on validation rows (orange), averaged over "
        f"{_checks.counted(history.n_members, 'network')}, each of which kept the weights of its best epoch (dashed: "
        f"the middle one, {history.best_epoch + 1} of {history.n_epochs}). {history.seconds:.1f} seconds."
    )
