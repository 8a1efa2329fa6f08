"""Models of many kinds beside the rows of a file, and the pages about them."""

import csv

import numpy as np
import pytest

import manymodes as mm
from manymodes.apps.report import report_page
from manymodes.apps.report.anew import judged_on_file

TINY = {"preset": "fast", "max_epochs": 3, "n_components": 3, "random_state": 0}


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(["" if cell != cell else cell for cell in row] for row in zip(*columns.values(), strict=True))


def shop_table(n=60):
    rng = np.random.default_rng(0)
    shop = rng.choice(["north", "south"], n)
    days = np.datetime64("2024-01-01") + np.arange(n).astype("timedelta64[D]")
    price = np.where(rng.random(n) < 0.2, np.nan, rng.uniform(1, 5, n))
    sold = np.where(shop == "north", 20.0, 5.0) + rng.integers(0, 3, n)
    return {"day": days, "shop": shop.astype(object), "price": price, "sold": sold}


def angle_table(n=60):
    rng = np.random.default_rng(1)
    x = rng.uniform(size=n)
    return {"x": x, "angle": rng.vonmises(3.0, 4.0, n), "length": rng.gamma(2.0, 1 + x)}


def rain_table(n=60):
    rng = np.random.default_rng(2)
    x = rng.uniform(size=n)
    return {"x": x, "rain": np.where(rng.random(n) < 0.5, 0.0, rng.gamma(2.0, 3.0, n))}


def wide_table(n=50):
    rng = np.random.default_rng(3)
    features = {f"f{i}": rng.normal(size=n) for i in range(40)}
    return features | {"y": 5 * features["f7"] + 0.1 * rng.normal(size=n)}


KINDS = {
    "counts": (shop_table, {"target_families": {"sold": "negative_binomial"}}, ["sold"]),
    "angles": (angle_table, {"target_families": {"angle": "von_mises", "length": "gamma"}}, ["angle", "length"]),
    "atoms": (rain_table, {"atoms": (0.0,)}, ["rain"]),
    "wide": (wide_table, {}, ["y"]),
}


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    """Return models of many kinds beside the rows of a file."""
    folder = tmp_path_factory.mktemp("report")
    found = {}
    for name, (table, settings, targets) in KINDS.items():
        columns = table()
        write_csv(folder / f"{name}.csv", columns)
        y = {target: columns[target] for target in targets}
        X = {key: column for key, column in columns.items() if key not in targets}
        mm.MDNRegressor(**TINY, **settings).fit(X, y).save(folder / f"{name}.mm")
        found[name] = judged_on_file(folder / f"{name}.mm", folder / f"{name}.csv")
    return found


@pytest.fixture(scope="session")
def html(judged):
    return {name: report_page(own) for name, own in judged.items()}


@pytest.fixture(scope="session")
def tiny():
    """Settings of a fit that takes a blink."""
    return TINY


@pytest.fixture(scope="session")
def write_table():
    """Return a function that writes columns as CSV; NaN becomes an empty cell."""
    return write_csv
