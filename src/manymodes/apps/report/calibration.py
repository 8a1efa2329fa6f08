"""The report's section on calibration: whether probabilities happen as often as they say."""

from __future__ import annotations

import torch
from torch import Tensor

from manymodes import metrics
from manymodes.apps.report.cells import percent
from manymodes.apps.report.judged import Judged
from manymodes.distributions import Prediction
from manymodes.metrics import PITHistogram, Reliability
from manymodes.pages import Chart, paragraph, table

LEVELS = (0.5, 0.8, 0.9, 0.95)
_FEWEST_FOR_TEST = 5
_SAMPLES = 1000  # of each joint prediction: ranks are right to .016, far below the bands of so many rows
_MOST_TARGETS = 6


def calibration_parts(judged: Judged) -> list[str]:
    """Return sentences, a chart and a table of coverage, and a histogram of PIT values for each target."""
    levels = [level for level in LEVELS if judged.n_rows * (1 - level) >= 1 - 1e-9]
    if len(levels) < 1:
        return [paragraph(f"Calibration cannot be judged on {judged.n_rows} {judged.rows_in_words}.")]
    pit = metrics.pit(judged.density, judged.y)
    central = metrics.coverage_curve(judged.density, judged.y, levels)
    region = _region_coverage(judged.density, judged.y, levels)
    return [
        *map(paragraph, _verdicts(judged, pit)),
        paragraph(_in_words(judged, central, region)),
        _coverage_chart(judged, central, region),
        _coverage_table(judged, central, region),
        *[_pit_chart(judged, d) for d in range(min(len(judged.targets), _MOST_TARGETS)) if judged.n_rows > 9],
    ]


def _region_coverage(density: Prediction, y: Tensor, levels: list[float]) -> Reliability | None:
    """Return the coverage of joint regions; None where components of different measures have no region."""
    kinds = [{group.kinds[d] for group in density.components.groups} for d in range(y.shape[-1])]
    if len(kinds) == 1 and "count" in kinds[0] and "real" in kinds[0]:
        return None
    return metrics.coverage_curve(density, y, levels, kind="region", n_samples=_SAMPLES)


def _verdicts(judged: Judged, pit: Tensor) -> list[str]:
    if judged.n_rows < _FEWEST_FOR_TEST:
        return []
    test = metrics.uniformity_test(pit)
    told = []
    for name, verdict, p in zip(judged.targets, test.verdicts, test.p_value.tolist(), strict=True):
        chance = "less than 0.1 %" if p < 0.001 else percent(p, 1 if p < 0.1 else 0)
        told.append(
            f"{name}: {verdict}. A perfectly calibrated model would look at least as far off in {chance} of samples of "
            f"{judged.n_rows} rows."
        )
    return told


def _in_words(judged: Judged, central: Reliability, region: Reliability | None) -> str:
    which = central.level.tolist().index(0.9) if 0.9 in central.level.tolist() else len(central.level) - 1
    level, low, high = (float(value[which]) for value in (central.level, central.low, central.high))
    found = [percent(share, 1) for share in central.share[:, which].tolist()]
    if len(found) > 1:
        found = [f"{share} ({name})" for share, name in zip(found, judged.targets, strict=True)]
    told = f"{', '.join(found)} of the {judged.rows_in_words} fell into their central {percent(level)} interval"
    if region is not None:
        whole = "joint highest-density region" if len(judged.targets) > 1 else "highest-density region"
        inside = percent(float(region.share[0, which]), 1)
        told += f", and {inside} into the {whole}, the smallest set that should hold {percent(level)}"
    return (
        f"{told}. Of a calibrated model it would be {percent(low, 1)} to {percent(high, 1)}, by chance alone, in 95 of "
        "100 such samples."
    )


def _series(judged: Judged, central: Reliability, region: Reliability | None) -> dict[str, Tensor]:
    shares = {f"central interval of {name}": central.share[d] for d, name in enumerate(judged.targets)}
    if region is None:
        return shares
    return shares | {"joint region" if len(judged.targets) > 1 else "highest-density region": region.share[0]}


def _coverage_chart(judged: Judged, central: Reliability, region: Reliability | None) -> str:
    series, levels = _series(judged, central, region), central.level.tolist()
    n_series = len(series)
    lowest = min(float(central.low.min()), *(float(share.min()) for share in series.values()))
    chart = Chart(
        (0.0, float(len(levels))),
        (max(0.0, lowest - 0.05), 1.0),
        x_label="level: the share that should be inside",
        y_label="share of rows inside",
        x_ticks=[(place + 0.5, f"{percent(level)}") for place, level in enumerate(levels)],
    )
    for place, level in enumerate(levels):
        chart.box((place + 0.15, float(central.low[place])), (place + 0.85, float(central.high[place])), "band")
        chart.line((place + 0.15, level), (place + 0.85, level), "whisker")
        for number, (name, share) in enumerate(series.items()):
            x, y = place + 0.15 + 0.7 * (number + 1) / (n_series + 1), float(share[place])
            title = f"{name}, level {percent(level)}: {percent(y, 1)} inside"
            if "region" in name and number == n_series - 1 and region is not None:
                chart.square(x, y, title, "full")
            else:
                chart.dot(x, y, title)
    which = "Dots: central intervals" if n_series <= 2 else f"Dots, from left to right: {', '.join(list(series)[:-1])}"
    squares = "; squares: highest-density regions" if region is not None else ""
    return chart.figure(
        f"Coverage on {judged.n_rows} {judged.rows_in_words}. {which}{squares}. Thin lines: what should be inside; "
        "grey bands: where 95 % of calibrated models would be, at each level by itself. Below the band, predictions "
        "are too narrow; above it, too wide."
    )


def _coverage_table(judged: Judged, central: Reliability, region: Reliability | None) -> str:
    series = _series(judged, central, region)
    rows = [
        [
            percent(level),
            *(percent(float(share[place]), 1) for share in series.values()),
            f"{percent(float(central.low[place]), 1)} to {percent(float(central.high[place]), 1)}",
        ]
        for place, level in enumerate(central.level.tolist())
    ]
    return table(["level", *series, "calibrated models"], rows, caption="Share of rows inside, level by level")


def _pit_chart(judged: Judged, d: int) -> str:
    name = judged.targets[d]
    n_bins = min(20, max(5, judged.n_rows // 10))
    found = metrics.pit_histogram(judged.density.marginal(d), judged.y[:, [d]], n_bins=n_bins)
    chart = Chart((0.0, 1.0), (0.0, 1.05 * _highest(found)), x_label=f"PIT of {name}", y_label=judged.rows_in_words)
    edges = found.edges.tolist()
    room = 0.04 * (edges[1] - edges[0])
    chart.box((0.0, float(found.low[0])), (1.0, float(found.high[0])), "band")
    for start, end, count in zip(edges, edges[1:], found.count[0].tolist(), strict=False):
        chart.box((start + room, 0.0), (end - room, float(count)), "bar")
    outside = int(found.outside.sum())
    verdict = "no bar leaves the band" if not outside else f"{outside} of {len(edges) - 1} bars end outside the band"
    return chart.figure(
        f"Probability integral transform (PIT) of {name}, the predicted probability of values below what happened: "
        "flat bars mean calibrated predictions, heaps at both ends too narrow ones, a heap in the middle too wide "
        f"ones. All bars of 95 % of calibrated models end within the grey band; here {verdict}."
    )


def _highest(found: PITHistogram) -> float:
    return max(float(found.count.max()), float(torch.as_tensor(found.high).max()))
