import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import TABLES, Table
from manymodes.datasets.tables import Split
from manymodes.distributions import DiagonalNormal, Mixture
from manymodes.estimators import MDNRegressor
from manymodes.studies import tables
from manymodes.studies.frame import models
from manymodes.studies.frame.comparison import Comparison, Part, Problem
from manymodes.studies.frame.work import Work
from manymodes.studies.tables import DEFAULT, figures_of, of_models, of_published, of_ties, part_of
from manymodes.studies.tables.published import BOOSTING, CARD, FIGURES, SOURCES, TABPFN


def compared(default, other=None):
    records = {DEFAULT: [dict(default)], models.MDN: [dict(other or default)]}
    return Comparison(Problem("p", lambda seed: None, {}), records)


def scores(nll=0.0, crps=0.0, rmse=0.0, **more):
    return {"nll": nll, "crps": crps, "rmse": rmse, **more}


def test_every_published_figure_has_a_source_and_a_table_that_is_there():
    for rows in FIGURES.values():
        for source, figures in rows.items():
            assert source in SOURCES
            assert {f"uci-{name}" for name in figures} <= set(TABLES)


def test_every_source_says_how_settings_are_chosen_and_has_figures():
    for name, source in SOURCES.items():
        assert source.citation
        assert source.chosen
        assert any(name in rows for rows in FIGURES.values())


def test_published_figures_stand_below_their_scores():
    assert figures_of(CARD, "concrete") == [2.99, None, 4.92]
    assert figures_of(BOOSTING, "concrete") == [2.73, 1.895, 3.73]
    assert figures_of(TABPFN, "boston-housing") == [None, None, None]


def test_the_default_is_the_default():
    (name, make), *_ = tables._models(Work("tables")).items()
    assert name == DEFAULT
    assert make(3).get_params() == MDNRegressor(random_state=3).get_params()


def test_a_split_is_that_of_the_table():
    X, y = np.arange(10.0)[:, None], np.arange(10.0)
    splits = (Split(np.array([0, 1, 2]), np.array([3])), Split(np.array([4, 5]), np.array([6, 7])))
    part = part_of(Table(X, y, ("x",), ("y",), splits, {}), seed=3)  # they come round: the second of two
    assert part.y.tolist() == part.X[:, 0].tolist() == [4, 5]
    assert part.y_test.tolist() == [6, 7]


def test_targets_that_repeat_are_told_apart():
    loc = torch.zeros(3, 1, 1).double()
    prediction = Mixture(Categorical(torch.ones(3, 1).double()), DiagonalNormal(loc, torch.ones_like(loc)))
    found = tables._look(None, prediction, Part(None, np.array([1.0, 2.0]), None, np.array([1.0, 0.0, 3.0])))
    constant = 0.5 * math.log(2 * math.pi)
    assert found["share_seen"] == pytest.approx(1 / 3)
    assert found["nll_seen"] == pytest.approx(constant + 0.5)
    assert found["nll_new"] == pytest.approx(constant + 4.5 / 2)
    assert found["nll"] == pytest.approx(constant + 5.0 / 3)
    assert found["rmse"] == pytest.approx(math.sqrt(10 / 3))


def test_no_target_that_repeats_has_no_likelihood():
    loc = torch.zeros(1, 1, 1).double()
    prediction = Mixture(Categorical(torch.ones(1, 1).double()), DiagonalNormal(loc, torch.ones_like(loc)))
    found = tables._look(None, prediction, Part(None, np.array([1.0]), None, np.array([2.0])))
    assert math.isnan(found["nll_seen"])
    assert not math.isnan(found["nll_new"])


def test_published_figures_that_are_worse_are_counted():
    one = compared(scores(nll=2.8, crps=2.0, rmse=3.7))
    assert of_published("concrete", one).startswith(
        "On concrete the default reaches NLL 2.8, lower, by one split, than 5 of 7 published figures (of which the "
        "lowest is 2.215, TabPFN-v2); CRPS 2, lower, by one split, than 1 of 2 published"
    )


def test_a_figure_within_two_errors_is_not_counted():
    two = compared(scores(nll=2.8))
    two.records[DEFAULT].append(scores(nll=2.9))  # 2.85 ± 0.05: 2.99 is clear of it, 2.89 is not
    assert "NLL 2.850 ± 0.050, lower by two errors than 4 of 7" in of_published("concrete", two)


def test_a_score_that_nobody_published_is_said_to_be_one():
    assert "CRPS 1, of which nothing is published" in of_published("boston-housing", compared(scores(crps=1.0)))


def test_tables_where_the_default_is_best_are_counted():
    found = {"a": compared(scores(1.0, 1.0, 1.0), scores(2.0, 2.0, 0.0)), "b": compared(scores(1.0), scores(0.0))}
    assert of_models(found).endswith("by NLL on 1, by CRPS on 2, by RMSE on 1.")


@pytest.mark.parametrize(("new", "words"), [(2.5, "read CRPS beside NLL"), (1.5, "gains nothing by them")])
def test_repeated_targets_are_blamed_only_where_they_gain(new, words):
    found = {
        "a": compared(scores(share_seen=0.8, nll_new=new, nll_seen=2.0)),
        "b": compared(scores(share_seen=0.0, nll_new=1.0, nll_seen=math.nan)),
    }
    told = of_ties(found)
    assert told.startswith("On a, 80% of the test targets occur among the rows that teach, on b 0%.")
    assert words in told
