"""What ``manymodes info`` prints for a person."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from manymodes import _checks
from manymodes.apps.info import Feature, Info, Target
from manymodes.apps.summary import MODEL_NAMES, print_scores, print_table

_MOST_FEATURES, _MOST_CATEGORIES = 30, 8
_KINDS = {
    "MDNRegressor": "Mixture density network for tables",
    "RecalibratedRegressor": "Mixture density network for tables, recalibrated",
    "MDNForecaster": "Forecaster of series",
}


def print_info(info: Info, console: Console) -> None:
    """Print what is known of a model."""
    for sentence in _sentences(info):
        console.print(sentence, soft_wrap=True)
    shown = info.features[:_MOST_FEATURES]
    if shown:
        more = f" (the first {len(shown)} of {len(info.features)})" if len(shown) < len(info.features) else ""
        print_table(f"Features{more}", ["feature", "kind", "in the fit"], map(_feature, shown), console, n_texts=3)
    print_table("Targets", ["target", "components", "in the fit"], map(_target, info.targets), console, n_texts=3)
    if info.scores:
        print_scores({MODEL_NAMES.get(name, name): scores for name, scores in info.scores.items()}, console)
    for note in info.notes:
        console.print(note)


def _sentences(info: Info) -> Iterator[str]:
    yield f"{info.path}: {_KINDS.get(info.kind, info.kind)}, {_size(info.bytes)}, written {info.written}."
    networks = _checks.counted(info.members, "network")
    each = "" if info.members == 1 else " each"
    yield (
        f"It is {networks} of {_checks.counted(info.components, 'component')}{each}, {info.numbers:,} numbers; format "
        f"{info.format_version}, manymodes {info.manymodes_version}."
    )
    if info.atoms:
        yield f"Values with a probability of their own: {', '.join(f'{atom:g}' for atom in info.atoms)}."
    if info.recalibration is not None:
        yield f"It is recalibrated: {info.recalibration}."
    if info.horizon is not None:
        yield f"It forecasts {_checks.counted(info.horizon, 'step')}."
    rows = info.rows
    file = "" if info.file is None else f" of {info.file}"
    held_out = f"; {rows['held_out']:,} were held out" if "held_out" in rows else ""
    yield (
        f"Each network learned from {rows['train']:,} rows{file} and chose its best epoch on {rows['validation']:,} "
        f"others{held_out}. Epoch {info.epochs['kept']} of {info.epochs['run']} was kept, after {info.seconds:.0f} s"
        f"{f'; ended by {info.ended_by}' if info.ended_by else ''}."
    )
    if info.holds_training_rows:
        yield "Mind: rows of the fit can be read off this file."


def _feature(feature: Feature) -> list[str]:
    known = "one value or none" if feature.kind == "nothing" else _range(feature)
    return [feature.name, feature.kind, known + (", may be missing" if feature.may_be_missing else "")]


def _range(feature: Feature) -> str:
    if feature.categories:
        names = ", ".join(map(str, feature.categories[:_MOST_CATEGORIES]))
        n_more = len(feature.categories) - _MOST_CATEGORIES
        return names + (f" and {n_more} more" if n_more > 0 else "")
    return _ends(feature.low, feature.high)


def _target(target: Target) -> list[str]:
    return [target.name, target.family, _ends(target.low, target.high)]


def _ends(low: float | str | None, high: float | str | None) -> str:
    if low is None or high is None:
        return "unknown"
    return " to ".join(end if isinstance(end, str) else f"{end:.6g}" for end in (low, high))


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{n_bytes / 1e3:.0f} kB"
