import json
import math
import re

import numpy as np
import pytest
import torch

import manymodes as mm
from manymodes.estimators.portable.parameters import ParameterNetwork
from manymodes.pages import page
from manymodes.pages.living import weights
from manymodes.pages.living.example import Example
from manymodes.pages.living.model import page_base, plain_rows, whole_features, with_network, with_slices
from manymodes.pages.living.section import living_section, script
from manymodes.pages.living.weights import page_network, rounded_network
from tests import random_densities
from tests.random_densities import LINE

SMALL = {"preset": "fast", "n_members": 2, "n_components": 3, "hidden_sizes": (16, 16), "max_epochs": 3}
N = 120


def columns(n: int = N, seed: int = 0) -> dict[str, np.ndarray]:
    """Return features of every kind, some missing."""
    rng = np.random.default_rng(seed)
    gappy = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    town = np.array(["Aa", "B<b", None], object)[rng.integers(0, 3, n)]
    when = np.datetime64("2021-03-01T05:00") + rng.integers(0, 9000, n).astype("timedelta64[h]")
    return {"size": 10 * rng.normal(size=n), "gappy": gappy, "town": town, "code": rng.integers(7, 10, n), "when": when}


def outcomes(n: int = N, seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    left = rng.normal(size=n)
    return {"left": left, "right": left + rng.normal(size=n)}


@pytest.fixture(scope="module")
def model():
    settings = {**SMALL, "covariance_type": "full", "categorical_features": ["code"], "random_state": 0}
    return mm.MDNRegressor(**settings).fit(columns(), outcomes())


def as_page(model, most_bytes=weights.MOST_BYTES, *, sliced=False) -> str:
    X = columns()
    rows = plain_rows(model, X, [3, 5, 8])
    examples = [Example(str(i), f"row {i}", row) for i, row in enumerate(rows)]
    base = page_base(model, examples, [(-3.0, 3.0)] * 2, whole=whole_features(X))
    if sliced:
        living = with_slices(base, model, examples, 200_000)
    else:
        living = with_network(base, page_network(model.network_, most_bytes))
    return page("A model", "Try it.", [living_section("Try it", living), '<p><a data-row="2" href="#">row 2</a></p>'])


@pytest.fixture(scope="module")
def tab(browser):
    """Return a page of the browser, which fails at any error in a script and counts what it asks the network for."""
    opened = browser.new_page()
    opened.asked, opened.errors = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.on("console", lambda line: opened.errors.append(line.text) if line.type == "error" else None)
    yield opened
    opened.close()


@pytest.fixture
def show(tab, tmp_path):
    """Return a function that opens HTML from disk and waits until everything is drawn."""

    def open_(html: str):
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        tab.asked.clear()
        tab.goto(file.as_uri())
        drawn(tab)
        assert tab.errors == []
        return tab

    return open_


def drawn(tab) -> None:
    """Wait until all that was asked for is drawn, what waits for a pause, too."""
    tab.wait_for_function("window.manymodes.living.settled")


def curve(tab) -> str:
    return tab.locator(".density path.blue").first.get_attribute("d")


# --- numbers ---


def test_parameters_in_the_page_are_those_of_torch(show, model):
    rows = columns(30, seed=3)
    plain = plain_rows(model, rows, range(30))
    found = show(as_page(model)).evaluate(
        "(rows) => rows.map((row) => { const { network, page } = manymodes.living.source;"
        "return network.parameters(manymodes.encoded(page.encoder, row)); })",
        plain,
    )
    network = ParameterNetwork(model.network_)
    expected = network(model._open(rows, 0).all())
    for name, value in zip(network.names, expected, strict=True):
        in_page = np.array([row[name] for row in found]).reshape(value.shape)
        np.testing.assert_allclose(in_page, value.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"family": "student_t"},
        {"family": "gamma"},
        {"family": "von_mises"},
        {"family": "negative_binomial"},
        {"family": ("beta", -1.0, 50.0)},
        {"family": "logit_normal"},
        {"atoms": (0.0,), "family": "log_normal"},
    ],
    ids=lambda settings: str(settings["family"]),
)
def test_every_family_leaves_the_network_in_the_page_as_in_torch(show, settings):
    rng = np.random.default_rng(0)
    y = {"von_mises": rng.uniform(-3, 3, 60), "logit_normal": rng.uniform(0.05, 0.95, 60)}.get(
        str(settings["family"]), rng.poisson(3, 60) + (0.0 if settings["family"] == "negative_binomial" else 0.5)
    )
    y = np.where(rng.random(60) < 0.3, 0.0, y) if "atoms" in settings else y
    X = {"x": rng.normal(size=60)}
    model = mm.MDNRegressor(**{**SMALL, **settings, "max_epochs": 1, "random_state": 0}).fit(X, {"y": y})
    base = page_base(model, [], [(0.0, 5.0)])
    tab = show(page("A", "b", [living_section("Try it", with_network(base, page_network(model.network_)))]))
    found = tab.evaluate(
        "[-1.5, 0.2, 9].map((x) => manymodes.living.source.network.parameters("
        "manymodes.encoded(manymodes.living.page.encoder, { x })))"
    )
    network = ParameterNetwork(model.network_)
    expected = network(torch.tensor([[-1.5], [0.2], [9.0]], dtype=torch.float64))
    for name, value in zip(network.names, expected, strict=True):
        in_page = np.array([row[name] for row in found]).reshape(value.shape)
        np.testing.assert_allclose(in_page, value.numpy(), rtol=1e-9, atol=1e-9)


def test_numbers_that_cannot_be_leave_the_page_as_it_was(show, model):
    tab = show(as_page(model))
    before, box = curve(tab), tab.get_by_label("size, exactly")
    for typed in ("", "1e308", "-1e200"):
        box.fill(typed)
        box.blur()
        drawn(tab)
        assert curve(tab) == before
    assert tab.errors == []
    assert box.input_value() == tab.get_by_label("size", exact=True).input_value()


@pytest.fixture(scope="module")
def calculator(browser):
    """Return a page that holds the scripts alone."""
    tab = browser.new_page()
    tab.set_content(f"<script>{script()}</script>")
    yield tab
    tab.close()


ANSWERS = """([document, parameters, y, levels]) => {
  const line = manymodes.densityOf(document, parameters).line(0);
  const finite = (x) => (Number.isFinite(x) ? x : Math.sign(x) * 1e308);
  return {
    log_prob: y.map((at) => finite(line.logProb(at))),
    cdf: y.map((at) => line.tails(at)[0]), sf: y.map((at) => line.tails(at)[1]),
    quantiles: levels.map((level) => line.quantile(level)),
    moments: line.moments(),
    modes: line.modes().map((m) => [m.kind === "mode" ? 1 : 0, m.location, finite(m.logDensity), m.mass]),
    region: line.region(0.9).map((p) => [p.kind === "interval" ? 1 : 0, p.low, p.high, p.mass]),
  };
}"""


@pytest.mark.parametrize("name", LINE)
def test_answers_in_the_page_are_those_of_torch(calculator, name):
    truth, document, arrays = random_densities.described(name, seed=2)
    y = truth.sample((15,), generator=torch.Generator().manual_seed(1))
    levels = [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999]
    modes, region = truth.modes(), truth.highest_density_region(0.9)
    for row in range(random_densities.N):
        parameters = {key: value[row].ravel().tolist() for key, value in arrays.items()}
        found = calculator.evaluate(ANSWERS, [document, parameters, y[:, row, 0].tolist(), levels])
        one = truth[row : row + 1]
        at = y[:, [row]]
        np.testing.assert_allclose(found["log_prob"], one.log_prob(at)[:, 0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found["cdf"], one.cdf(at)[:, 0, 0], rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(found["sf"], one.sf(at)[:, 0, 0], rtol=1e-9, atol=1e-13)
        expected = one.icdf(torch.tensor(levels, dtype=torch.float64)[:, None, None])[:, 0, 0]
        np.testing.assert_allclose(found["quantiles"], expected, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(found["moments"], [one.mean.item(), one.variance.item()], rtol=1e-8)
        own = modes.mask[row]
        expected = np.stack([modes.location[row, own, 0], modes.log_density[row, own], modes.mass[row, own]], -1)
        in_page = [mode[1:] for mode in found["modes"] if mode[0]]
        np.testing.assert_allclose(np.reshape(in_page, (-1, 3)), expected, rtol=1e-6, atol=1e-6)
        own = region.mask[row]
        expected = np.stack([region.low[row, own], region.high[row, own], region.mass[row, own]], -1)
        in_page = [piece[1:] for piece in found["region"] if piece[0]]
        np.testing.assert_allclose(np.reshape(in_page, (-1, 3)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["full", "low_rank", "product"])
def test_joint_densities_in_the_page_are_those_of_torch(calculator, name):
    truth, document, arrays = random_densities.described(name, target_dim=4)
    pairs, y = [(0, 1), (2, 1), (0, 3)], truth.sample((1,), generator=torch.Generator().manual_seed(1))[0]
    code = "([d, p, i, j, y, z]) => manymodes.densityOf(d, p).pairLogProb(i, j, y, z)"
    for row in range(random_densities.N):
        parameters = {key: value[row].ravel().tolist() for key, value in arrays.items()}
        for i, j in pairs:
            at = y[row, [i, j]]
            found = calculator.evaluate(code, [document, parameters, i, j, *at.tolist()])
            expected = truth.marginal([i, j])[row : row + 1].log_prob(at[None]).item()
            assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


def test_rounded_weights_are_read_as_they_were_written(show, model):
    n_numbers = sum(layer.weight.numel() for layer in weights.hidden_layers(model.network_))
    room = len(page_network(model.network_, 10**9).base64) * 3 // 4 - 2 * n_numbers
    network = page_network(model.network_, room)
    assert 8 <= network.bits < 16
    found = show(as_page(model, room)).evaluate(
        "[...Array(2).keys()].map((i) => Array.from(manymodes.living.source.network.tensors[`layer${i}.weight`].data))"
    )
    rounded = rounded_network(model.network_, network.bits)
    for values, layer, exact in zip(
        found, weights.hidden_layers(rounded), weights.hidden_layers(model.network_), strict=True
    ):
        np.testing.assert_array_equal(values, layer.weight.detach().numpy().ravel())
        step = exact.weight.abs().amax(-1, keepdim=True) / (2 ** (network.bits - 1) - 1)
        assert ((layer.weight - exact.weight).abs() <= 0.5001 * step).all()


@pytest.fixture(scope="module")
def default_model():
    rng = np.random.default_rng(0)
    X, y = {f"x{i}": rng.normal(size=60) for i in range(12)}, {"y": rng.normal(size=60)}
    return mm.MDNRegressor(10, max_epochs=1, frequency=0.3, random_state=0).fit(X, y)


def default_page(model, network) -> str:
    return page("A", "b", [living_section("Try it", with_network(page_base(model, [], [(-3.0, 3.0)]), network))])


def test_a_default_network_fits_into_a_page_of_three_megabytes(default_model):
    network = page_network(default_model.network_)
    assert network.bits >= 8  # where log-densities change by about 0.002
    assert network.bits == weights.bits_in_page(default_model.network_)
    assert not network.is_exact
    assert len(default_page(default_model, network).encode()) < 2_900_000


def test_a_default_network_that_was_rounded_beforehand_is_in_its_page_as_in_torch(show, default_model):
    bits = weights.bits_in_page(default_model.network_)
    rounded = rounded_network(default_model.network_, bits)
    network = page_network(rounded)
    assert network.is_exact
    assert network.bits == bits
    assert page_network(rounded, 3 * weights.MOST_BYTES // 2).bits == bits  # also where there is room for more
    html = default_page(default_model, network)
    assert len(html.encode()) < 2_900_000
    rows = np.random.default_rng(1).normal(size=(5, 12)) * 2
    found = show(html).evaluate(
        "(rows) => rows.map((row) => { const { network, page } = manymodes.living.source;"
        "return network.parameters(manymodes.encoded(page.encoder, row)); })",
        [{f"x{i}": value for i, value in enumerate(row)} for row in rows.tolist()],
    )
    torchs = ParameterNetwork(rounded)
    expected = torchs(default_model._open({f"x{i}": column for i, column in enumerate(rows.T)}, 0).all())
    for name, value in zip(torchs.names, expected, strict=True):
        in_page = np.array([row[name] for row in found]).reshape(value.shape)
        np.testing.assert_allclose(in_page, value.numpy(), rtol=1e-9, atol=1e-9)


def test_a_network_all_of_whose_numbers_fit_is_exact(model):
    assert weights.bits_in_page(model.network_) is None
    assert page_network(model.network_).is_exact
    assert page_network(model.network_).bits is None


# --- what a person does ---


def test_nothing_is_asked_of_the_network(show, model):
    tab = show(as_page(model))
    assert [url.split("/")[-1] for url in tab.asked] == ["page.html"]


def test_a_slider_moves_the_density_by_keyboard(show, model):
    tab = show(as_page(model))
    before, words = curve(tab), tab.locator(".words").text_content()
    tab.get_by_label("size", exact=True).focus()
    for _ in range(8):
        tab.keyboard.press("PageUp")
    drawn(tab)
    assert curve(tab) != before
    assert tab.locator(".words").text_content() != words
    size = tab.evaluate("manymodes.living.state.row.size")
    assert tab.get_by_label("size, exactly").input_value() == str(size)
    shown = tab.evaluate("manymodes.living.current.mean")
    row = tab.evaluate("manymodes.living.state.row")
    assert math.isclose(shown, predicted(model, row).mean[0, 0], rel_tol=1e-9)


def predicted(model, row: dict):
    cells = {name: np.array([value], object if isinstance(value, str | None) else float) for name, value in row.items()}
    cells["gappy"] = cells["gappy"].astype(float)
    cells["when"] = np.array([round(row["when"] * 1e6)], "M8[us]")
    return model.predict_distribution(cells)


def test_every_control_changes_what_is_predicted(show, model):
    tab = show(as_page(model))
    seen, before = [curve(tab)], tab.evaluate("manymodes.living.state.row")
    town, code = "Aa" if before["town"] == "B<b" else "B<b", 8 if before["code"] == 7 else 7
    tab.get_by_label("town", exact=True).select_option(town)
    drawn(tab)
    seen.append(curve(tab))
    tab.get_by_label("code", exact=True).select_option(str(code))
    drawn(tab)
    seen.append(curve(tab))
    tab.get_by_label("missing", exact=True).click()
    drawn(tab)
    seen.append(curve(tab))
    tab.get_by_label("when, exactly").fill("2021-08-01T12:30")
    tab.get_by_label("when, exactly").blur()
    drawn(tab)
    seen.append(curve(tab))
    tab.get_by_label("size, exactly").fill("-3.5")
    tab.get_by_label("size, exactly").blur()
    drawn(tab)
    seen.append(curve(tab))
    assert len(set(seen)) == len(seen)
    row = tab.evaluate("manymodes.living.state.row")
    assert (row["town"], row["code"], row["size"]) == (town, code, -3.5)
    assert math.isclose(tab.evaluate("manymodes.living.current.mean"), predicted(model, row).mean[0, 0], rel_tol=1e-9)


def test_the_probability_of_a_dragged_range_is_that_of_python(show, model):
    tab = show(as_page(model))
    box = tab.locator(".density svg").bounding_box()
    y = box["y"] + box["height"] / 3
    tab.mouse.move(box["x"] + 0.3 * box["width"], y)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.7 * box["width"], y, steps=3)
    tab.mouse.up()
    drawn(tab)
    low, high = (float(tab.get_by_label(f"{end} end of the range").input_value()) for end in ("lower", "upper"))
    density = predicted(model, tab.evaluate("manymodes.living.state.row")).marginal(0)
    expected = float(density.probability(low, high))
    assert 0 < expected < 1
    shown = tab.locator(".probability").text_content().replace("%", "").strip()
    assert math.isclose(float(shown) / 100, expected, abs_tol=0.006)
    exact = tab.evaluate("manymodes.living.current.line.probability(...manymodes.living.state.range)")
    assert math.isclose(exact, expected, rel_tol=1e-9)


def test_rows_beyond_those_of_the_fit_are_told(show, model):
    tab = show(as_page(model))
    assert tab.locator(".beyond").text_content() == ""
    tab.get_by_label("size, exactly").fill("500")
    tab.get_by_label("size, exactly").blur()
    drawn(tab)
    sentence = "Mind: size is beyond all that the model learned from; this is a guess."
    assert tab.locator(".beyond").text_content() == sentence


def test_modes_are_told_from_the_likeliest_down(show, model):
    tab = show(as_page(model))
    found = []
    for seed in range(3):
        _, document, arrays = random_densities.described("normal", target_dim=2, seed=seed)
        for row in range(random_densities.N):
            parameters = {key: value[row].ravel().tolist() for key, value in arrays.items()}
            masses = tab.evaluate(
                "([document, parameters]) => { const { living } = manymodes;"
                "living.source.density = () => manymodes.densityOf(document, parameters); living.draw();"
                "return living.current.modes.map((mode) => mode.mass); }",
                [document, parameters],
            )
            rows = tab.locator(".numbers tr", has_text="mode ").all_text_contents()
            told = [float(re.search(r"\([>< ]*([\d.]+) %", text).group(1)) for text in rows]
            found.append((masses, told))
    assert any(masses != sorted(masses, reverse=True) for masses, _ in found)
    assert all(len(told) > 1 and told == sorted(told, reverse=True) for _, told in found)


def test_two_inputs_are_compared(show, model):
    tab = show(as_page(model))
    tab.get_by_role("button", name="Keep to compare").click()
    tab.get_by_label("a row of the data").select_option("row 1")
    drawn(tab)
    assert tab.locator(".density path.orange").count() == 1
    assert tab.locator(".numbers thead th").all_text_contents() == ["left", "this", "kept"]
    tab.get_by_role("button", name="Stop comparing").click()
    drawn(tab)
    assert tab.locator(".density path.orange").count() == 0


def test_rows_elsewhere_on_the_page_are_loaded(show, model):
    tab = show(as_page(model))
    tab.get_by_text("row 2", exact=True).last.click()
    drawn(tab)
    assert tab.evaluate("manymodes.living.state.row.size") == plain_rows(model, columns(), [8])[0]["size"]


def test_other_targets_regions_components_and_maps_are_drawn(show, model):
    tab = show(as_page(model))
    first, pixels = curve(tab), tab.evaluate("document.querySelector('#living-map').toDataURL()")
    tab.get_by_label("target").select_option("right")
    tab.get_by_label("components").check()
    tab.get_by_label("p(left) along").select_option("town")
    drawn(tab)
    assert curve(tab) != first
    assert tab.locator(".density path.component").count() > 1
    assert tab.evaluate("document.querySelector('#living-map').toDataURL()") != pixels
    assert tab.locator("path.contour").count() == 2
    wide = tab.evaluate("manymodes.living.current.region.reduce((sum, piece) => sum + piece.mass, 0)")
    tab.get_by_label("region of").fill("50")
    drawn(tab)
    narrow = tab.evaluate("manymodes.living.current.region.reduce((sum, piece) => sum + piece.mass, 0)")
    assert (round(wide, 6), round(narrow, 6)) == (0.9, 0.5)


def test_every_control_can_be_reached_and_has_a_name(show, model):
    tab = show(as_page(model))
    names = tab.evaluate(
        "[...document.querySelectorAll('.living input, .living select, .living button')].filter((e) => !e.hidden)"
        ".map((e) => e.getAttribute('aria-label') || (e.labels && e.labels.length ? e.labels[0].textContent : '') "
        "|| e.textContent)"
    )
    assert len(names) > 12
    assert all(name.strip() for name in names)
    assert tab.evaluate("[...document.querySelectorAll('.living [tabindex=\"-1\"]')].length") == 0


def test_a_model_that_does_not_fit_is_shown_in_slices(show, model):
    tab = show(as_page(model, sliced=True))
    before = curve(tab)
    tab.get_by_label("value", exact=True).focus()
    tab.keyboard.press("Home")
    drawn(tab)
    assert curve(tab) != before
    tab.get_by_label("feature", exact=True).select_option("town")
    drawn(tab)
    row, place = plain_rows(model, columns(), [3])[0], tab.evaluate("manymodes.living.state.row.place")
    row["town"] = tab.evaluate("manymodes.living.page.slices.find((s) => s.name === 'town').values")[place]
    shown = tab.evaluate("manymodes.living.current.mean")
    assert math.isclose(shown, predicted(model, row).mean[0, 0], rel_tol=1e-4, abs_tol=1e-5)


def test_the_model_in_the_page_is_plain_json(model):
    html = as_page(model)
    text = html.split('id="manymodes-model">')[1].split("</script>")[0]
    assert json.loads(text)["targets"] == ["left", "right"]
    assert "<b" not in text
