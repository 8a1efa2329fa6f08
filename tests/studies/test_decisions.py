import numpy as np
import pytest
import torch
from torch.distributions import Categorical

from manymodes.datasets import Table
from manymodes.distributions import DiagonalNormal, Mixture, entropy
from manymodes.studies.decisions import orders, rejects, words
from manymodes.studies.decisions.rows import HELD, MONTH, YEAR, before_midnight, month_of
from manymodes.studies.frame.comparison import Comparison, Part, Problem
from manymodes.studies.frame.models import GAUSSIAN, LEAST_SQUARES, MDN
from manymodes.studies.frame.work import Work

RNG = np.random.default_rng(0)
DAYS = 460
DAY, HOUR = np.divmod(np.arange(24 * DAYS), 24)
RENTED = RNG.integers(1, 100, 24 * DAYS).astype(float)


def mixture(loc, scale, weight=None):
    loc = torch.as_tensor(loc).double().unsqueeze(-1)
    weight = torch.ones(loc.shape[:-1]) if weight is None else torch.as_tensor(weight).expand(loc.shape[:-1])
    return Mixture(Categorical(weight.double()), DiagonalNormal(loc, torch.zeros_like(loc) + scale))


def bikes(missing=0):
    rows = np.ones(len(DAY), dtype=bool)
    rows[:missing] = False
    X = np.column_stack([DAY // 365, HOUR, DAY % 7])[rows].astype(float)
    return Table(X, RENTED[rows], ("yr", "hr", "weekday"), ("cnt",), (), {"day": DAY[rows]})


def compared(**models):
    names = {"mdn": MDN, "least_squares": LEAST_SQUARES, "gaussian": GAUSSIAN}
    records = {names[key]: [dict(record)] for key, record in models.items()}
    return Comparison(Problem("p", lambda seed: None, {}), records)


# --- rows ---


def test_what_is_known_at_midnight_is_of_the_days_before():
    known = before_midnight(RENTED, DAY, HOUR)
    row = 24 * 100 + 7
    assert known[row, 0] == RENTED[row - 24]
    assert known[row, 1] == RENTED[row - 7 * 24]
    assert known[row, 2] == pytest.approx(RENTED[24 * 93 : 24 * 100].mean())
    assert np.isnan(known[: 7 * 24]).all()
    assert not np.isnan(known[7 * 24 :]).any()


def test_hours_that_are_not_in_the_table_count_as_none_rented():
    kept = np.arange(len(DAY)) != 24 * 20 + 3
    known = before_midnight(RENTED[kept], DAY[kept], HOUR[kept])
    (day_after,) = np.flatnonzero((DAY[kept] == 21) & (HOUR[kept] == 3))
    assert known[day_after, 0] == 0.0


def test_a_month_is_judged_by_the_year_before_it():
    month = month_of(Work("decisions"), bikes(), seed=6)  # they come round: the second of five, from day 442 on
    first = 442
    assert len(month.part.y) == 4000
    assert len(month.part.y_test) == 24 * (DAYS - first)  # the table ends within these days
    assert DAYS - first < MONTH
    np.testing.assert_array_equal(month.part.y_test[month.order], RENTED[24 * first :])
    np.testing.assert_array_equal(month.week_ago[month.order], RENTED[24 * (first - 7) : 24 * (DAYS - 7)])
    np.testing.assert_array_equal(month.hour, np.arange(24 * (DAYS - first)))
    assert month.part.X.shape[1] == 5  # the year's number is left out: hour, weekday and three of the past remain
    assert month.held.mean() == pytest.approx(HELD / YEAR, abs=0.03)


# --- orders ---


@pytest.mark.parametrize("cost", orders.COSTS, ids=lambda cost: cost.name)
def test_no_order_nearby_is_expected_to_cost_less_than_the_best(cost):
    prediction = mixture([[100.0, 300.0]], 30.0, [[0.7, 0.3]])
    y = prediction.sample((40_000,), generator=torch.Generator().manual_seed(0))[:, 0, 0]
    best = cost.best(prediction)
    step = cost.load or 25.0
    paid = {shift: cost.mean(best.action + shift, y) for shift in (-step, 0.0, step)}
    assert min(paid, key=paid.__getitem__) == 0.0
    assert paid[0.0] == pytest.approx(float(best.cost), rel=0.03)  # of 40,000 samples: sd below 1 %


def test_a_fine_asks_for_another_quantile_in_every_row():
    prediction = mixture([[100.0], [100.0]], torch.tensor([[[3.0]], [[60.0]]]).double())
    order = orders.FINE.best(prediction).action
    level = prediction.cdf(order[:, None])[:, 0]
    # of a normal: F(a) = fine * f(a)
    density = prediction.log_prob(order[:, None]).exp()
    torch.testing.assert_close(level, orders.FINE_OF * density, rtol=0.25, atol=0.0)  # of 45 quantiles
    assert level[0] > 0.99 > level[1]


def test_trucks_come_in_whole_numbers():
    wanted = torch.tensor([-20.0, 149.0, 151.0])
    assert orders.TRUCKS.allowed(wanted).tolist() == [0.0, 100.0, 200.0]
    assert orders.FINE.allowed(wanted).tolist() == [0.0, 149.0, 151.0]


def test_foresight_costs_nothing_but_trips():
    y = torch.tensor([0.0, 10.0, 100.0, 130.0]).double()  # no truck, 3 * 10, one trip, a trip and 3 * 30 or two trips
    assert orders.foresight(orders.TRUCKS, y) == pytest.approx((0 + 30 + 60 + 120) / 4)
    assert orders.foresight(orders.FINE, y) == 0.0
    assert orders.foresight(orders.LINEAR[0], y) == 0.0


def test_a_learned_constant_is_the_quantile_of_the_errors():
    y = torch.as_tensor(RNG.normal(100, 20, 2000))
    mean = torch.full_like(y, 100.0)
    found = orders.of_thumb(mean, y, mean, y, week_ago=y)
    for cost in orders.LINEAR:
        share = cost.ratio / (1 + cost.ratio)
        expected = torch.quantile(y - mean, share)
        assert found[orders.key(cost, "constant")] == pytest.approx(float(expected), abs=3.0)
        assert (
            found[orders.key(cost, orders.CONSTANT)] <= 1.001 * found[orders.key(cost, orders.MEAN)]
        )  # of 200 constants
        assert found[orders.key(cost, orders.AGO)] == 0.0


def test_the_normal_in_place_of_a_normal_costs_the_same():
    prediction = mixture(RNG.normal(100, 30, (50, 1)), 20.0)
    y = prediction.sample(generator=torch.Generator().manual_seed(1))[:, 0]
    own = orders.ordered(prediction, y)
    less = orders.of_mixture(prediction, y, prediction, y)
    for cost in orders.COSTS:
        assert less[orders.key(cost, orders.NORMAL)] == pytest.approx(own[orders.key(cost, orders.OWN)], rel=1e-4)


def test_a_temperature_of_weeks_that_were_wilder_orders_more():
    generator = torch.Generator().manual_seed(1)
    wilder = mixture(RNG.normal(200, 30, (400, 1)), 60.0)
    too_sure = mixture(wilder.components.loc[..., 0], 20.0)
    y_held, y = (wilder.sample(generator=generator)[:, 0] for _ in range(2))
    own, corrected = (
        found[orders.key(orders.LINEAR[2], rule)]
        for found, rule in (
            (orders.ordered(too_sure, y), orders.OWN),
            (orders.of_mixture(too_sure, y_held, too_sure, y), orders.WIDENED),
        )
    )
    best = orders.ordered(wilder, y)[orders.key(orders.LINEAR[2], orders.OWN)]
    assert corrected < 0.9 * own
    assert corrected == pytest.approx(best, rel=0.05)  # of 400 rows: both pay on the same ones


# --- what is not answered ---


def test_entropies_of_quantiles_are_entropies():
    prediction = mixture([[0.0, 4.0], [0.0, 0.5]], 1.0)
    torch.testing.assert_close(
        rejects.entropies(prediction), entropy(prediction, standard_error=0.002).value, atol=0.03, rtol=0.0
    )


def test_the_variance_orders_means_and_the_chance_of_a_miss_orders_modes():
    share = np.linspace(0.0, 0.45, 200)  # of a second answer 40 away, and rows without one that are wider
    wide = np.arange(200) % 2 == 0
    weight = np.where(wide, 0.0, share)
    loc = torch.tensor([[60.0, 20.0]]).expand(200, 2)
    scale = torch.as_tensor(np.where(wide, 2.0 + 10 * share, 1.0)).double()[:, None, None]
    prediction = mixture(loc, scale, np.column_stack([1 - weight, weight]) + 1e-9)
    y = prediction.sample((6,), generator=torch.Generator().manual_seed(0))[..., 0]
    gains = {}
    for sample in y:
        found = rejects.two_answers(None, prediction, Part(None, None, None, sample.numpy()))
        for key, value in found.items():
            if key.endswith("gain"):
                gains.setdefault(key, []).append(value)
    mean = {key: np.mean(value) for key, value in gains.items()}
    square, miss = (
        {score: mean[f"{answer} by {score}: gain"] for score in rejects.ORDERS} for answer in rejects.ANSWERS
    )
    assert max(square, key=square.get) == rejects.SPREAD
    assert max(miss, key=miss.get) == rejects.CHANCE


def test_rows_that_are_equally_certain_gain_nothing():
    prediction = mixture(RNG.normal(0, 1, (30, 1)), 1.0)
    found = rejects.answered(prediction, torch.zeros(30).double())
    assert found[f"{rejects.SPREAD}: gain"] == 0.0


def test_hours_are_handed_over_where_they_are_expected_to_cost_more_than_that():
    prediction = mixture([[100.0], [100.0]], torch.tensor([[[1.0]], [[1000.0]]]).double())
    y = torch.tensor([100.0, 100.0]).double()
    found = rejects.priced(prediction, y)
    assert found["handed over"] == 0.5
    order = rejects.PRICED.best(prediction).action[0]
    assert found["then paid"] == pytest.approx((float(order - 100) + rejects.PRICE) / 2, abs=1e-5)


def test_a_limit_that_no_order_of_rows_keeps_answers_none():
    prediction, y = mixture(np.zeros((30, 1)), 1.0), torch.full((30,), 50.0).double()
    found = rejects.limited(prediction, y, prediction, y, max_error=20.0)
    assert found["limit: coverage"] == found["limit: coverage held"] == 0.0
    assert words.of_limit(compared(mdn=found), 20.0).startswith("No limit of uncertainty keeps the mean error below 20")


# --- words ---


def costs(own, level=0.9, expected=1.0):
    return {
        orders.key(cost, rule): value
        for cost in orders.COSTS
        for rule, value in (
            (orders.OWN, own),
            (orders.EXPECTED, expected),
            (orders.LEVEL, 2.0),
            (orders.WIDENED, 2.5),
            (orders.NORMAL, 3.0),
            (orders.MEAN, 9.0),
            (orders.CONSTANT, 4.0),
            (orders.FACTOR, 5.0),
            (orders.AGO, 8.0),
            ("level", level),
        )
    }


def test_the_best_rule_of_thumb_and_the_best_other_density_are_named():
    told = words.of_rules(compared(mdn=costs(1.0), least_squares=costs(7.0), gaussian=costs(6.0)))
    assert "the best rule of thumb, least-squares network: its mean plus a constant (4; the difference is -3)" in told
    assert "the best other density, one Gaussian (6; the difference is -5)" in told


def test_a_month_unlike_the_past_is_blamed_only_where_more_is_paid():
    assert "less like the past" in words.of_expected(compared(mdn=costs(1.5)))
    told = words.of_expected(compared(mdn=costs(1.0)))
    assert "less like the past" not in told


@pytest.mark.parametrize(("error", "word"), [(18.0, "kept"), (25.0, "broken")])
def test_a_promise_is_called_kept_or_broken(error, word):
    limit = {"limit: coverage held": 0.5, "limit: coverage": 0.4, "limit: error": error, "limit: error of all": 40.0}
    assert f"the promise is {word} on average" in words.of_limit(compared(mdn=limit), 20.0)


def test_the_advice_on_traffic_is_given_only_where_it_holds():
    def gains(square_by_spread):
        values = {f"{answer} by {score}: gain": 0.3 for answer in rejects.ANSWERS for score in rejects.ORDERS}
        values[f"{rejects.SQUARE} by {rejects.SPREAD}: gain"] = square_by_spread
        values[f"{rejects.MISS} by {rejects.CHANCE}: gain"] = 0.4
        return compared(mdn=values)

    assert "Ask which error" in words.of_two_answers(gains(0.5))
    assert "Ask which error" not in words.of_two_answers(gains(0.1))


def test_a_fine_is_told_with_what_one_quantile_costs_more():
    assert "1 more" in words.of_fine(compared(mdn=costs(1.0)))


@pytest.mark.parametrize(("own", "words_"), [(1.0, "worth something"), (4.0, "adds nothing")])
def test_shape_is_praised_only_where_a_normal_pays_more(own, words_):
    assert words_ in words.of_normal(compared(mdn=costs(own)))


def test_costs_for_which_the_corrected_density_is_the_cheapest_are_counted():
    told = words.of_widened(compared(mdn=costs(1.0), least_squares=costs(7.0)))
    assert "cheapest of 10 ways to order for 0 of 6 costs" in told
    told = words.of_widened(
        compared(mdn=costs(2.6) | {orders.key(orders.FINE, orders.LEVEL): 2.7}, least_squares=costs(7.0))
    )
    assert "for 1 of 6 costs" in told
    assert told.endswith("its mean plus a constant costs 1.5 more.")
