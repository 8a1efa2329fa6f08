import threading

import numpy as np
import pytest
import uvicorn

import manymodes as mm
from manymodes.apps.explore import session as session_module
from manymodes.apps.explore.app import make_app
from manymodes.apps.explore.guard import Guard
from manymodes.apps.explore.session import Session
from manymodes.apps.service.running import listen

LOOPBACK = ("127.0.0.1", "localhost")


@pytest.fixture
def served():
    """Return a function that serves an explorer until the test is over, and returns its session and its address."""
    running = []

    def serve(most_bytes: int = 1_000_000):
        session = Session()
        app = Guard(make_app(session, most_bytes), LOOPBACK, None)
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, ws="none")
        server, socket = uvicorn.Server(config), listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        running.append((server, thread, session, socket))
        return session, f"http://127.0.0.1:{socket.getsockname()[1]}/"

    yield serve
    for server, thread, session, socket in running:
        server.should_exit = True
        thread.join(timeout=10)
        session.close()
        socket.close()


@pytest.fixture
def tab(browser):
    opened = browser.new_page()
    opened.asked, opened.errors = [], []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    opened.close()


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    x, sign, towns = rng.normal(size=80), rng.choice([-1, 1], 80), rng.choice(["Aa", "Bb"], 80)
    lines = ["x,town,y", *(f"{a:.4f},{t},{b:.4f}" for a, t, b in zip(x, towns, sign * x, strict=True))]
    file = tmp_path / "two ways.csv"
    file.write_text("\n".join(lines))
    return file


def test_a_person_drops_a_table_watches_a_fit_stops_it_and_takes_the_model(served, tab, table, tmp_path, monkeypatch):
    gate, fit_file = threading.Semaphore(0), session_module.fit_file

    def stepwise(options, tell, *, watch):
        """Fit, each epoch when the test lets it."""
        options.settings.update(max_epochs=50, n_members=2, hidden_sizes=(16,), n_components=3)

        class Gate:
            def on_epoch_end(self, history):
                assert gate.acquire(timeout=30)

        return fit_file(options, tell, watch=lambda model, learning: [*watch(model, learning), Gate()])

    monkeypatch.setattr(session_module, "fit_file", stepwise)
    monkeypatch.setattr("manymodes.apps.explore.watching._SECONDS_BETWEEN", 0.0)
    session, address = served()
    tab.goto(address)
    tab.get_by_label("Drop a CSV or Parquet file here, or choose it:").set_input_files(table)
    tab.get_by_role("heading", name="two ways.csv: 80 rows").wait_for()
    assert tab.get_by_label("predict y").is_checked()
    assert tab.get_by_label("predict town").is_disabled()
    tab.get_by_label("How much to compute").select_option("fast")
    tab.get_by_role("button", name="Fit a model").click()

    curve = tab.locator(".densities path.blue").first
    curve.wait_for(timeout=30_000)
    first = curve.get_attribute("d")
    gate.release(5)
    tab.get_by_text("Epoch 6 of at most 50").wait_for(timeout=30_000)
    assert curve.get_attribute("d") != first  # the density moves while the network learns
    assert tab.locator(".losses path.orange").count() == 1

    tab.get_by_role("button", name="Stop and keep the best so far").click()
    tab.get_by_text("Stopping; the best weights so far are kept").wait_for()
    gate.release(100)
    tab.get_by_role("heading", name="Done").wait_for(timeout=60_000)
    assert len(session.state()["train"]) < 50
    report = tab.frame_locator("iframe")
    report.get_by_role("heading", name="Try it: move the features").wait_for(timeout=30_000)
    before = report.locator(".density path.blue").first.get_attribute("d")
    report.get_by_label("x, exactly").fill("2.5")
    report.get_by_label("x, exactly").blur()
    report.locator(f'.density path.blue:not([d="{before}"])').first.wait_for()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the model").click()
    download.value.save_as(tmp_path / "model.mm")
    assert list(mm.load(tmp_path / "model.mm").feature_names_in_) == ["x", "town"]
    assert all(url.startswith(address) for url in tab.asked)
    assert tab.errors == []


def test_bad_tables_and_questions_are_told_on_the_page(served, tab, tmp_path):
    _, address = served(most_bytes=10_000)
    tab.goto(address)
    picker = tab.get_by_label("Drop a CSV or Parquet file here, or choose it:")
    (tmp_path / "empty.csv").write_text("")
    picker.set_input_files(tmp_path / "empty.csv")
    tab.get_by_text("is empty; it must hold a header and rows below it.").wait_for()
    (tmp_path / "large.csv").write_text("a,b\n" + "1,2\n" * 5000)
    picker.set_input_files(tmp_path / "large.csv")
    tab.get_by_text("a table must have at most 10,000 bytes; this one has more.").wait_for()
    (tmp_path / "few.csv").write_text("a,b\n1,2\n2,3\n")
    picker.set_input_files(tmp_path / "few.csv")
    tab.get_by_role("button", name="Fit a model").click()
    tab.get_by_text("and a fit needs at least 10").wait_for(timeout=30_000)
    tab.get_by_label("predict b").uncheck()
    tab.get_by_role("button", name="Fit a model").click()
    tab.get_by_text("targets must name at least one column to predict; got none.").wait_for()
    assert tab.errors == []
