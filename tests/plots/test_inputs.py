"""What pictures refuse, and that the order of rows does not matter."""

import re

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes import plots
from manymodes._checks import InputError
from manymodes.distributions import DiagonalNormal, Mixture, PITMap, Recalibrated
from manymodes.plots.inputs import along_x, in_0_1

ALONG_X = (plots.components, plots.density_bands, plots.ridgeline, plots.contour)


def whole(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("draw", ALONG_X)
def test_an_array_is_no_distribution(draw, x, ax):
    kind = "Mixture" if draw is plots.components else "Prediction"
    message = f"distribution must be a {kind}, as predict_distribution or a network returns it; got ndarray."
    with pytest.raises(TypeError, match=whole(message)):
        draw(x, x, ax=ax)


@pytest.mark.parametrize("draw", [draw for draw in ALONG_X if draw is not plots.components])
def test_recalibrated_predictions_are_drawn_like_mixtures(draw, crossing, x, ax):
    bent = Recalibrated(crossing, [PITMap(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([1.0, 2.0, 0.3]))])
    assert draw(bent, x, ax=ax) is ax
    assert ax.has_data()


def test_a_recalibrated_prediction_has_no_components_to_draw(crossing, x, ax):
    message = "distribution must be a Mixture, as predict_distribution or a network returns it; got Recalibrated."
    with pytest.raises(TypeError, match=whole(message)):
        plots.components(Recalibrated(crossing, [PITMap.identity()]), x, ax=ax)


@pytest.mark.parametrize("draw", ALONG_X)
def test_an_input_of_another_length_is_refused(draw, crossing, x, ax):
    message = "x must have shape (15,) to match the rows of distribution; got (14,)."
    with pytest.raises(InputError, match=whole(message)):
        draw(crossing, x[1:], ax=ax)


@pytest.mark.parametrize("draw", ALONG_X)
@pytest.mark.parametrize("dim", [1, -1])
def test_a_dimension_that_is_not_there_is_refused(draw, crossing, x, ax, dim):
    with pytest.raises(InputError, match=whole(f"dim must be an integer from 0 to 0; got {dim}.")):
        draw(crossing, x, dim=dim, ax=ax)


@pytest.mark.parametrize("draw", ALONG_X)
def test_an_input_that_is_not_finite_is_refused(draw, crossing, x, ax):
    x[2] = np.nan
    with pytest.raises(InputError, match=whole("x must be finite; got nan in row 3.")):
        draw(crossing, x, ax=ax)


def test_targets_that_are_not_finite_are_refused(crossing, x, ax):
    y = np.zeros((15, 1))
    y[4] = np.inf
    with pytest.raises(InputError, match=whole("y must be finite; got inf in row 5.")):
        plots.contour(crossing, x, y=y, ax=ax)


def test_targets_of_another_length_are_refused(crossing, x, ax):
    message = "y must have shape (15,) to match the rows of distribution; got (3,)."
    with pytest.raises(InputError, match=whole(message)):
        plots.density_bands(crossing, x, y=[1.0, 2.0, 3.0], ax=ax)


def test_words_are_no_input(crossing, ax):
    with pytest.raises(TypeError, match=whole("x must be an array of numbers; got 'a' in it.")):
        plots.contour(crossing, ["a"] * 15, ax=ax)
    days = np.datetime64("2024-01-01") + np.arange(15)
    with pytest.raises(TypeError, match=whole("x must be an array of numbers; got datetime64[D].")):
        plots.contour(crossing, days, ax=ax)


@pytest.mark.parametrize("draw", [plots.components, plots.density_bands, plots.contour])
def test_an_input_with_one_value_has_no_width(draw, crossing, ax):
    message = "x must have at least two distinct values; got 2.5 only. For single rows, see ridgeline."
    with pytest.raises(InputError, match=whole(message)):
        draw(crossing, np.full(15, 2.5), ax=ax)


def test_members_are_taken_one_by_one_or_pooled(crossing, x, ax):
    members = crossing.expand((4, 15))
    message = (
        "distribution must have batch_shape (N,); got (4, 15). Of members, take one, distribution[0], or all as one "
        "mixture, distribution.pooled(0)."
    )
    with pytest.raises(InputError, match=whole(message)):
        plots.components(members, x, ax=ax)
    plots.components(members[0], x, ax=ax)


def test_no_rows_are_refused(crossing, ax):
    with pytest.raises(InputError, match=whole("distribution must have at least one row; got none.")):
        plots.ridgeline(crossing[:0], [], ax=ax)


@pytest.mark.parametrize(("levels", "wrong"), [([0.5, 1.0], "1.0"), ([0.0], "0.0")])
def test_levels_are_probabilities(levels, wrong):
    with pytest.raises(InputError, match=whole(f"levels must be a number > 0 and < 1; got {wrong}.")):
        in_0_1("levels", levels)


@pytest.mark.parametrize("levels", [[], 0.5, "0.5"])
def test_levels_are_a_list(levels):
    with pytest.raises(TypeError, match=whole(f"levels must be a list of numbers > 0 and < 1; got {levels!r}.")):
        in_0_1("levels", levels)


def test_levels_are_sorted_from_the_outermost():
    assert in_0_1("levels", (0.5, 0.95, 0.8, 0.5)) == [0.95, 0.8, 0.5]


def test_rows_are_sorted_with_their_targets(crossing, x):
    order = np.random.default_rng(0).permutation(15)
    shuffled = along_x(crossing[torch.from_numpy(order)], x[order], order.astype(float), 0)
    np.testing.assert_array_equal(shuffled.x, x)
    np.testing.assert_array_equal(shuffled.y, np.arange(15))
    torch.testing.assert_close(shuffled.mixture.mean, crossing.mean)


def test_gradients_and_single_precision_do_not_matter(x):
    loc = torch.zeros(15, 2, 2).requires_grad_()
    mixture = Mixture(Categorical(logits=torch.zeros(15, 2).requires_grad_()), DiagonalNormal(loc, loc + 1))
    along = along_x(mixture, torch.from_numpy(x).requires_grad_(), torch.ones(15, 2), 1)
    assert along.mixture.mean.dtype == torch.float64
    assert not along.mixture.components.mean.requires_grad
    assert along.mixture.event_shape == (1,)
    np.testing.assert_array_equal(along.y, 1)
