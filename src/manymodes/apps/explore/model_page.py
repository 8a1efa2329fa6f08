"""A page of a fitted model alone: its living part, and what is known of its fit."""

from __future__ import annotations

from pathlib import Path

from manymodes import _checks
from manymodes.apps.models import load_model
from manymodes.estimators import MDNRegressor
from manymodes.estimators.model_file import MODEL_FILE
from manymodes.pages.html import bullets, page, section
from manymodes.pages.living.model import page_model
from manymodes.pages.living.section import living_section
from manymodes.pages.living.weights import page_network

_ALL = 200_000_000  # bytes: a page of one's own server may be large


def is_model(path: Path) -> bool:
    """Return whether a path is a model file, or a folder that holds one."""
    return (path / MODEL_FILE).is_file() if path.is_dir() else path.suffix == ".mm"


def model_page(path: Path) -> str:
    """Return the page of a model.

    Raises:
        ValueError: No model, or one that no page can run.
    """
    model, targets = load_model(path)
    network = page_network(model.network_, _ALL) if isinstance(model, MDNRegressor) else None
    if network is None:
        raise _checks.InputError(
            f"{str(path)!r} has a backbone or corrections of its own, which no page can run; manymodes report shows it."
        )
    names = " and ".join(targets)
    living = living_section("Try it: move the features", page_model(model, network, [], _ranges(model)))
    notes = [*model.target_notes(), *model.feature_notes(), *model.history_.diagnosis().splitlines()]
    lead = f"Move the features and see what {names} may be: the curve is p(y | x)."
    return page(f"What {names} may be", lead, [living, section("How it was fitted", bullets(notes))])


def _ranges(model: MDNRegressor) -> list[tuple[float, float]]:
    """Return what each target reaches over, about: three standard deviations of the rows of the fit to both sides."""
    scaling = model.network_.target_scaling
    loc, scale = (value.expand(model.architecture_.target_dim).tolist() for value in (scaling.loc, scaling.scale))
    return [(centre - 3 * width, centre + 3 * width) for centre, width in zip(loc, scale, strict=True)]
