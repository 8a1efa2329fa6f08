import math

import pytest
import torch
from scipy import stats
from torch.distributions import Categorical

from manymodes import metrics
from manymodes._checks import InputError
from manymodes.distributions import Laplace, Mixture, Poisson, Product, VonMises
from manymodes.metrics import SCORES, score_table

from .references import DOUBLE
from .test_scores import make


def lines(table) -> dict[tuple[str, str], int]:
    return {pair: i for i, pair in enumerate(zip(table.score, table.target, strict=True))}


def test_the_table_has_the_means_of_scores_and_their_standard_errors():
    mixture, y = make(n=40, d=2)
    table = score_table(mixture, y, names=["a", "b"])
    where = lines(table)
    values = {
        ("log_score", "all"): metrics.log_score(mixture, y),
        ("crps", "all"): metrics.crps(mixture, y),
        ("energy_score", "all"): metrics.energy_score(mixture, y),
        ("crps", "b"): metrics.marginal_crps(mixture, y)[:, 1],
        ("interval_score", "a"): metrics.interval_score(mixture, y)[:, 0],
        ("squared_error", "b"): metrics.squared_error(mixture, y)[:, 1],
        ("absolute_error", "a"): metrics.absolute_error(mixture, y)[:, 0],
        ("coverage", "b"): metrics.coverage(mixture, y)[:, 1],
    }
    assert len(where) == 3 + 2 * 5
    for pair, scores in values.items():
        assert table.mean[where[pair]].item() == pytest.approx(scores.mean().item())
        assert table.standard_error[where[pair]].item() == pytest.approx(stats.sem(scores.numpy()))
    assert table.n_rows == 40
    assert table.against is None


def test_one_target_has_no_sums_over_targets():
    mixture, y = make()
    assert [pair for pair in lines(score_table(mixture, y)) if pair[1] == "all"] == [("log_score", "all")]


def test_differences_are_those_of_a_paired_t_test():
    mixture, y = make(n=40)
    other = mixture.affine(0.5, 1.2)
    table = score_table(mixture, y, against=other, confidence=0.9)
    i = lines(table)["crps", "0"]
    own, against = metrics.crps(mixture, y).numpy(), metrics.crps(other, y).numpy()
    expected = stats.ttest_rel(own, against)
    interval = expected.confidence_interval(0.9)
    assert table.against[i].item() == pytest.approx(against.mean())
    assert table.difference[i].item() == pytest.approx(own.mean() - against.mean())
    assert table.difference_standard_error[i].item() == pytest.approx(stats.sem(own - against))
    assert table.difference_low[i].item() == pytest.approx(interval.low)
    assert table.difference_high[i].item() == pytest.approx(interval.high)


def test_a_prediction_does_not_differ_from_itself():
    mixture, y = make(n=10, d=2)
    table = score_table(mixture, y, against=mixture)
    assert (table.difference == 0).all()
    assert (table.difference_high == 0).all()


def test_what_angles_have_none_of_is_left_out():
    generator = torch.Generator().manual_seed(0)
    loc = torch.randn(20, 2, 1, generator=generator, **DOUBLE)
    parts = Product(VonMises(loc, loc.exp()), Laplace(loc, loc.exp()))
    mixture = Mixture(Categorical(torch.ones(20, 2, **DOUBLE)), parts)
    table = score_table(mixture, mixture.sample(generator=generator), names=["angle", "length"])
    assert [name for name, target in lines(table) if target == "all"] == ["log_score", "crps"]
    assert [name for name, target in lines(table) if target == "angle"] == ["crps", "squared_error"]
    assert [name for name, target in lines(table) if target == "length"][-1] == "coverage"


def test_one_row_has_no_standard_error():
    mixture, y = make(n=1)
    table = score_table(mixture, y, against=mixture.affine(0.1, 1.0))
    assert table.mean.isfinite().all()
    for column in (table.standard_error, table.difference_standard_error, table.difference_low, table.difference_high):
        assert column.isnan().all()


def test_tables_become_frames_and_text():
    mixture, y = make(n=10)
    table = score_table(mixture, y, against=mixture.affine(0.5, 1.0), names=["price"])
    frame = table.to_frame("pandas")
    assert list(frame["score"])[:2] == ["log_score", "crps"]
    assert frame["difference"].tolist() == table.difference.tolist()
    assert frame["strictly_proper"].tolist() == [True, True, False, False, False, False]
    text = repr(table).splitlines()
    assert text[0] == (
        "ScoreTable(10 rows; lower is better, but coverage of 90%; * strictly proper; "
        "differences, < 0 for the first, with 95% confidence intervals)"
    )
    assert text[1].split()[:4] == ["score", "target", "mean", "standard_error"]
    assert text[3].split()[:3] == ["crps", "*", "price"]
    assert len(text) == 2 + len(table.score)
    assert "against" not in score_table(mixture, y).to_dict()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, y: score_table(m[:0], y[:0]),
            InputError,
            "y must have at least 1 row for a table of scores; got 0.",
        ),
        (
            lambda m, y: score_table(m, y, confidence=1.0),
            InputError,
            "confidence must be a number > 0 and < 1; got 1.0.",
        ),
        (
            lambda m, y: score_table(m, y, names=["a"]),
            InputError,
            "names must name each of the 2 target dimensions; got ['a'].",
        ),
        (
            lambda m, y: score_table(m, y, names=["a", "a"]),
            InputError,
            "names must differ; got 'a', 'a'.",
        ),
        (lambda m, y: score_table(y, m), TypeError, "distribution must be a Prediction; got Tensor."),
        (
            lambda m, y: score_table(m, y, against=m[:3]),
            InputError,
            "the targets of against must have shape (6, 2) to match y; got (3, 2).",
        ),
        (
            lambda m, y: score_table(m, y[:1]),
            InputError,
            "y must have shape (6, 2) to match the predictions; got (1, 2).",
        ),
        (lambda m, y: score_table(m, y, against=y), TypeError, "against must be a Prediction; got Tensor."),
    ],
)
def test_what_cannot_be_compared_is_refused(call, error, message):
    with pytest.raises(error) as caught:
        call(*make(d=2))
    assert str(caught.value) == message


# --- the registry ---


@pytest.mark.parametrize("name", SCORES)
def test_scores_say_whether_they_are_strictly_proper_where_they_are_described(name):
    score, text = SCORES[name], " ".join(SCORES[name].function.__doc__.split())
    assert score.function.__name__ == name
    assert "roper" in text
    assert ("trictly proper" in text.replace("not strictly proper", "")) >= score.strictly_proper


@pytest.mark.parametrize("name", SCORES)
def test_scores_have_the_shape_of_what_they_see(name):
    mixture, y = make(d=2)
    settings = {"quantile_weighted_crps": (torch.square,), "pinball_loss": (0.3,)}.get(name, ())
    values = SCORES[name].function(mixture, y, *settings)
    assert values.shape == ((6, 2) if SCORES[name].per_dimension else (6,))
    assert math.isfinite(values.sum())


def test_log_scores_of_other_measures_are_not_compared():
    loc = torch.linspace(0.5, 3, 20, **DOUBLE).reshape(20, 1, 1)
    weights = Categorical(torch.ones(20, 1, **DOUBLE))
    counts = Mixture(weights, Product(Poisson(loc), Laplace(loc, loc)))
    reals = Mixture(weights, Product(Laplace(loc, loc), Laplace(loc, loc)))
    swapped = Mixture(weights, Product(Laplace(loc, loc), Poisson(loc)))
    y = torch.arange(20, **DOUBLE)[:, None].expand(20, 2).contiguous()
    for other in (reals, swapped):
        table = score_table(counts, y, against=other)
        where = lines(table)
        for column in (table.difference, table.difference_low, table.difference_high):
            assert column.isnan().tolist() == [name == "log_score" for name in table.score]
        assert table.against[where["log_score", "all"]].isfinite()
    assert score_table(counts, y, against=counts).difference.isfinite().all()


def test_a_missing_target_is_named():
    mixture, y = make(n=5)
    y[3] = torch.nan
    mixture = Mixture(mixture.mixture_distribution, mixture.components, validate_args=False)
    with pytest.raises(InputError, match=r"^y must hold numbers for a table of scores; got NaN in row 4\.$"):
        score_table(mixture, y)
