import csv
import math
import threading

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import manymodes as mm
from manymodes import runtime
from manymodes._checks import quoted
from manymodes.apps.explore import session as session_module
from manymodes.apps.explore.app import make_app
from manymodes.apps.explore.guard import Guard
from manymodes.apps.explore.model_page import is_model, model_page
from manymodes.apps.explore.session import Session
from manymodes.apps.explore.watching import densities_of
from manymodes.estimators.targets.families import FAMILIES

HERE = "http://127.0.0.1:8080"


def table_bytes(n: int = 60) -> bytes:
    rng = np.random.default_rng(0)
    lines = [["id", "size", "town", "price"]]
    lines += [[i, round(rng.uniform(50, 200), 2), "ab"[rng.integers(2)], round(rng.normal(), 3)] for i in range(n)]
    return "\n".join(",".join(map(str, line)) for line in lines).encode()


@pytest.fixture
def session():
    made = Session()
    yield made
    made.close()


@pytest.fixture
def client(session):
    return TestClient(Guard(make_app(session, 20_000), ("127.0.0.1",), None), base_url=HERE)


def refused(answer, code: int = 400) -> str:
    assert answer.status_code == code
    assert list(answer.json()) == ["error"]
    return answer.json()["error"]


def finished(session) -> dict:
    session._thread.join(timeout=60)
    assert not session.is_busy
    return session.state()


@pytest.fixture
def quick(monkeypatch):
    """Let fits of explorers be tiny."""
    fit_file = session_module.fit_file

    def small(options, *args, **kwargs):
        options.settings.update(max_epochs=3, n_members=2, hidden_sizes=(8,), n_components=2)
        return fit_file(options, *args, **kwargs)

    monkeypatch.setattr(session_module, "fit_file", small)


# --- the way of a table ---


def test_a_table_becomes_a_model_and_a_report(client, session, quick):
    assert client.get("/state").json()["stage"] == "empty"
    assert client.post("/table?name=houses.csv", content=table_bytes()).status_code == 200
    table = client.get("/state").json()["table"]
    assert (table["name"], table["n_rows"], table["target"]) == ("houses.csv", 60, "price")
    kinds = {column["name"]: column["kind"] for column in table["columns"]}
    assert kinds == {"id": "number", "size": "number", "town": "text", "price": "number"}

    asked = {"targets": ["price"], "drop": ["id"], "preset": "fast"}
    assert client.post("/fit", json=asked).status_code == 200
    state = finished(session)
    assert state["stage"] == "done"
    assert len(state["train"]) == len(state["validation"]) == 3
    assert len(state["densities"]["rows"]) == len(state["rows"]) == 6

    (session.folder / "taken.mm").write_bytes(client.get("/download/model").content)
    model = mm.load(session.folder / "taken.mm")
    assert list(model.feature_names_in_) == ["size", "town"]
    report = client.get("/report")
    assert report.headers["content-type"].startswith("text/html")
    assert "houses.csv" in report.text
    assert client.get("/download/report").headers["content-disposition"].startswith("attachment")


def test_the_densities_that_are_watched_are_those_of_the_network():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=60)}
    model = mm.MDNRegressor(2, preset="fast", n_members=2, hidden_sizes=(8,), max_epochs=2, random_state=0)
    model.fit(X, {"y": rng.normal(size=60)})
    before = {name: value.clone() for name, value in model.network_.state_dict().items()}
    encoded = torch.tensor(X["a"][:5])[:, None]
    seen, expected = densities_of(model.network_, encoded), model.predict_distribution({"a": X["a"][:5]})
    parameters = [{key: np.array(value).reshape(1, 2, -1) for key, value in row.items()} for row in seen["rows"]]
    for name in ("0.0.loc", "0.0.scale"):
        for row in parameters:
            row[name] = row[name].reshape(1, 2, 2, 1)
    for place, row in enumerate(parameters):
        mean = runtime.density_of(seen["model"], row).mean[0, 0]
        assert math.isclose(mean, expected.mean[place, 0], rel_tol=1e-5, abs_tol=1e-6)
    after = model.network_.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_fit_stops_when_it_is_told_to_and_keeps_what_it_has(client, session, monkeypatch):
    begun, fit_file = threading.Event(), session_module.fit_file

    def slow(options, tell, *, watch):
        options.settings.update(max_epochs=500, n_members=2, hidden_sizes=(8,), n_components=2)

        class Beginning:
            def on_epoch_end(self, history):
                begun.set()

        return fit_file(options, tell, watch=lambda model, learning: [Beginning(), *watch(model, learning)])

    monkeypatch.setattr(session_module, "fit_file", slow)
    client.post("/table?name=t.csv", content=table_bytes())
    client.post("/fit", json={"targets": ["price"], "preset": "fast"})
    assert begun.wait(60)
    busy = refused(client.post("/fit", json={"targets": ["price"]}))
    assert busy == "a fit runs already; stop it first, or wait until it is done."
    assert client.post("/stop").status_code == 200
    state = finished(session)
    assert state["stage"] == "done"
    assert len(state["train"]) < 500


def test_a_fit_that_fails_says_why(client, session):
    client.post("/table?name=t.csv", content=b"a,b\n" + b"1,2\n" * 30)
    client.post("/fit", json={"targets": ["b"], "preset": "fast"})
    state = finished(session)
    assert state["stage"] == "failed"
    assert state["sentence"] == "target 'b' must take at least two different values; all 30 rows have 2."
    assert state["table"]["name"] == "t.csv"


def test_files_go_with_the_explorer(client, session):
    client.post("/table?name=t.csv", content=table_bytes())
    assert len(uploads(session)) == 1
    session.close()
    assert not session.folder.exists()


def uploads(session) -> list:
    return [file for file in session.folder.rglob("*") if file.is_file()]


def test_a_defect_in_a_fit_is_told_and_leaves_the_explorer_usable(client, session, monkeypatch):
    def broken(*args, **kwargs):
        raise ValueError("out of cheese")

    monkeypatch.setattr(session_module, "fit_file", broken)
    client.post("/table?name=t.csv", content=table_bytes())
    client.post("/fit", json={"targets": ["price"]})
    state = finished(session)
    assert (state["stage"], state["sentence"]) == ("failed", "a defect of manymodes: ValueError: out of cheese")
    assert client.post("/table?name=u.csv", content=table_bytes()).status_code == 200
    assert session.state()["stage"] == "table"


# --- what is refused ---


def test_uploads_are_bounded_and_leave_nothing_behind(client, session):
    assert refused(client.post("/table?name=big.csv", content=b"x" * 20_001)) == (
        "a table must have at most 20,000 bytes; this one has more. Start manymodes explore with a larger "
        "--max-upload-mb."
    )
    assert uploads(session) == []
    assert client.get("/state").json()["stage"] == "empty"


def test_a_table_that_is_refused_leaves_the_one_before(client, session, quick):
    client.post("/table?name=t.csv", content=table_bytes())
    for content in (b"x" * 20_001, b"", b"\xff\xfe\x00"):
        assert client.post("/table?name=t.csv", content=content).status_code == 400
    assert len(uploads(session)) == 1
    client.post("/fit", json={"targets": ["price"], "preset": "fast"})
    assert finished(session)["stage"] == "done"


def test_a_new_table_takes_the_place_of_the_one_before(client, session):
    client.post("/table?name=t.csv", content=table_bytes(40))
    first = client.get("/state").json()
    client.post("/table?name=t.csv", content=table_bytes(50))
    second = client.get("/state").json()
    assert (first["table"]["n_rows"], second["table"]["n_rows"]) == (40, 50)
    assert second["tables"] == first["tables"] + 1
    assert len(uploads(session)) == 1


def test_nobody_is_shown_where_uploads_lie(client, session):
    sentence = refused(client.post("/table?name=t.csv", content=b"\xff\xfe\x00"))
    assert sentence.startswith("'t.csv' is not UTF-8 text")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../evil.csv", "evil.csv"),
        ("..%2f..%2fevil.csv", "..%2f..%2fevil.csv".replace("%", "_")),
        ("a\x00b.csv", "a_b.csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
        ("", "table.csv"),
        (".", "table.csv"),
        ("..", "table.csv"),
        ("Straße.csv", "Stra_e.csv"),
    ],
)
def test_the_name_of_an_upload_never_leads_elsewhere(client, session, name, kept):
    beside = sorted(session.folder.parent.iterdir())
    assert client.post("/table", params={"name": name}, content=table_bytes()).status_code == 200
    (file,) = uploads(session)
    assert file.parent.parent == session.folder / "uploads"
    assert file.name == kept
    assert sorted(session.folder.parent.iterdir()) == beside


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"not json", "the body must be JSON; got something else."),
        (b"[" * 50_000, "the body must be JSON; got something else."),
        (b"[]", "the body must be an object with targets, drop and preset; got a list."),
        (b'{"targets": "price"}', "targets must be a list of names of columns; got something else."),
        (b'{"targets": ["price"], "drop": [1]}', "drop must be a list of names of columns; got something else."),
        (b'{"targets": ["price"], "preset": 3}', "preset must be one of 'fast', 'default', 'best'; got no name."),
        (b'{"targets": ["price"], "preset": "slow"}', "preset must be one of 'best', 'default', 'fast'; got 'slow'."),
        (b'{"targets": ["price"], "family": []}', f"family must be one of {quoted(FAMILIES)}; got no name."),
        (b'{"targets": ["price", "price"]}', "column 'price' must be named once, to predict or to leave out."),
        (
            b'{"targets": ["price"], "drop": ["price"]}',
            "column 'price' must be named once, to predict or to leave out.",
        ),
        (b'{"targets": []}', "targets must name at least one column to predict; got none."),
        (b'"' + b"x" * 100_000 + b'"', "a question must have at most 100,000 bytes; this one has more."),
    ],
)
def test_questions_that_cannot_be_answered_are_refused_in_a_sentence(client, body, sentence):
    client.post("/table?name=t.csv", content=table_bytes())
    assert refused(client.post("/fit", content=body)) == sentence


def test_what_is_not_there_is_told(client):
    assert refused(client.post("/fit", json={"targets": ["y"]})) == (
        "there must be a table before a model can be fitted to it; hand in a CSV file."
    )
    assert refused(client.get("/report")) == "there is no model yet; fit one first."
    assert refused(client.get("/nowhere"), 404) == "there is nothing at this address."
    assert refused(client.get("/download/etc"), 404) == "there is nothing at this address."
    assert refused(client.get("/fit"), 405) == "this address takes other requests."
    assert "is empty" in refused(client.post("/table?name=t.csv", content=b""))


def test_other_sites_and_other_names_of_this_computer_are_refused(client):
    other = client.post("/stop", headers={"origin": "https://evil.example"})
    assert refused(other, 403) == "requests must come from the page itself, and not from another site."
    for host in ("evil.example:8080", "[", ""):
        renamed = client.get("/", headers={"host": host})
        assert refused(renamed, 403) == "the address of this page must be the one that manymodes explore printed."
    for origin in ("null", "http://["):
        assert client.post("/stop", headers={"origin": origin}).status_code == 403
    assert client.post("/stop", headers={"origin": HERE}).status_code == 200


def test_answers_let_browsers_load_nothing_from_elsewhere(client):
    headers = client.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'none';")
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_where_others_can_reach_it_the_token_is_asked_for(session):
    app = Guard(make_app(session, 1000), (), "secret")
    client = TestClient(app, base_url="http://192.0.2.1:8080", follow_redirects=False)
    sentence = "the address must end in the token that manymodes explore printed, ?token=...."
    assert refused(client.get("/"), 403) == sentence
    assert refused(client.get("/?token=wrong"), 403) == sentence
    assert refused(client.post("/stop"), 403) == sentence
    for path in ("/", "//evil.example/"):
        client.cookies.clear()
        known = client.get(f"http://192.0.2.1:8080{path}?token=secret")
        assert (known.status_code, known.headers["location"]) == (303, "/")
    kept = known.headers["set-cookie"].lower()
    assert "httponly" in kept
    assert "samesite=lax" in kept
    assert client.post("/stop?token=secret").status_code == 200
    client.cookies.clear()
    own = kept.partition(";")[0]
    for others in ("", 'odd={"a":1}; ', "a/b=1; "):
        assert client.get("/", headers={"cookie": others + own}).status_code == 200
    assert refused(client.get("/", headers={"cookie": own + "x"}), 403) == sentence


# --- a model to look at ---


def test_a_model_is_shown_without_its_table(tmp_path):
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=60), "b": np.array(["x", "y"], object)[rng.integers(2, size=60)]}
    model = mm.MDNRegressor(2, preset="fast", n_members=2, hidden_sizes=(8,), max_epochs=2, random_state=0)
    model.fit(X, {"y": rng.normal(size=60)}).save(tmp_path / "model.mm")
    assert is_model(tmp_path)
    assert is_model(tmp_path / "model.mm")
    html = model_page(tmp_path)
    assert 'id="manymodes-model"' in html
    assert "How it was fitted" in html


def test_tables_are_described(tmp_path):
    from manymodes.apps.explore.tables import describe_table

    file = tmp_path / "t.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([["n", "t", "w", "none"], [1, "2020-01-01", "a", ""], [2.5, "2021-01-01", "", ""]])
    found = {column.pop("name"): column for column in describe_table(file)["columns"]}
    assert found["n"] == {"kind": "number", "note": None, "n_missing": 0, "n_different": 2, "holds": "1 to 2.5"}
    assert found["t"]["holds"] == "2020-01-01T00:00 to 2021-01-01T00:00"
    assert found["w"] == {"kind": "text", "note": None, "n_missing": 1, "n_different": 1, "holds": "a"}
    assert found["none"]["holds"] == "nothing"
    file.write_text("size,price\n" + "".join(f'"{cell}",1\n' for cell in ("1,5", "2,5")))
    size, price = describe_table(file)["columns"]
    assert (size["note"], price["note"]) == (
        "Column 'size' holds numbers with commas, say '1,5'; write them like 1234.5.",
        None,
    )


def test_a_family_can_be_chosen(client, session, quick):
    table = table_bytes().decode().splitlines()
    positive = "\n".join([table[0], *(line.replace(",-", ",") for line in table[1:])])
    client.post("/table?name=houses.csv", content=positive.encode())
    assert client.post("/fit", json={"targets": ["price"], "preset": "fast", "family": "gamma"}).status_code == 200
    assert finished(session)["stage"] == "done"
    assert mm.load(session.output).architecture_.families == ("gamma",)
