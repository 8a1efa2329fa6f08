"""The picture of a risk-coverage curve."""

import numpy as np
import pytest
import torch

from manymodes import plots
from manymodes._checks import InputError
from manymodes.metrics.risk import risk_coverage


def test_it_draws_the_curve_beside_the_best_and_a_random_order(ax):
    error, spread = np.arange(50) % 7 + 1.0, np.arange(50)
    assert plots.risk_coverage(error, spread, ax=ax, y_label="mean error (km)") is ax
    drawn = {line.get_label(): line for line in ax.get_lines()}
    expected = risk_coverage(error, spread)
    np.testing.assert_allclose(drawn["by uncertainty"].get_ydata(), expected.risk)
    np.testing.assert_allclose(drawn["best order"].get_ydata(), expected.oracle)
    assert set(drawn["random order"].get_ydata()) == {error.mean()}
    assert ax.get_ylabel() == "mean error (km)"


def test_several_orders_are_named_and_very_many_rows_are_thinned(ax):
    error = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    plots.risk_coverage(error, {"itself": error, "reversed": -error}, ax=ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["itself", "reversed", "best order", "random order"]
    curve = ax.get_lines()[0]
    assert len(curve.get_xdata()) == 1000
    assert curve.get_xdata()[-1] == 1.0


def test_what_does_not_fit_is_refused(ax):
    with pytest.raises(InputError, match=r"^error and uncertainty must have the same number of rows; got 2 and 1\.$"):
        plots.risk_coverage([1.0, 2.0], [1.0], ax=ax)
    with pytest.raises(InputError, match=r"^uncertainty must hold at least one order; got none\.$"):
        plots.risk_coverage([1.0, 2.0], {}, ax=ax)
