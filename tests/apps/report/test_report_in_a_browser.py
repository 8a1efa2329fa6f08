"""The page as Chromium lays it out: on a screen, on a telephone, on paper, and for a keyboard."""

import pytest

KINDS = ["counts", "angles", "atoms", "wide"]
_PAPER = 688  # pixels between the margins of A4
_TOO_WIDE = """() => {
    const right = document.documentElement.clientWidth + 1;
    const parts = [...document.querySelectorAll('main *')].filter((part) => !part.closest('svg *, .scroll *, pre *'));
    return parts.filter((part) => part.getBoundingClientRect().right > right)
        .map((part) => part.outerHTML.slice(0, 80));
}"""
_CUT = """() => [...document.querySelectorAll('.scroll, pre')]
    .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def files(html, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for kind, text in html.items():
        (folder / f"{kind}.html").write_text(text)
    return {kind: (folder / f"{kind}.html").as_uri() for kind in html}


@pytest.fixture
def opened(browser):
    """Return a function that opens a page; nothing but the file itself may be asked for, and no script may fail."""
    contexts, asked, failed = [], [], []

    def open_page(address, width, **more):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **more))
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: failed.append(message.text))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert {url.partition("#")[0].partition(":")[0] for url in asked} == {"file"}
    assert len(asked) == len(contexts)
    assert failed == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_off_the_page_on_a_screen(opened, files, kind):
    page = opened(files[kind], 1000)
    assert page.evaluate(_TOO_WIDE) == []
    assert (
        page.evaluate("[...document.querySelectorAll('.scroll')].filter(b => b.scrollWidth > b.clientWidth + 1)") == []
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_runs_off_the_page_of_a_telephone(opened, files, kind):
    page = opened(files[kind], 360)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate(_TOO_WIDE) == []
    shrunk = page.evaluate(
        "[...document.querySelectorAll('figure svg')].map(svg => svg.clientWidth / svg.viewBox.baseVal.width)"
    )
    letters = page.evaluate("parseFloat(getComputedStyle(document.querySelector('figure text')).fontSize)")
    assert min(shrunk) * letters > 8.5  # pixels on the screen


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_cut_off_on_paper(opened, files, kind):
    page = opened(files[kind], _PAPER)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(_TOO_WIDE) == []
    assert page.evaluate(_CUT) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_labels_of_charts_stay_within_them(opened, files):
    page = opened(files["counts"], 360)
    outside = page.evaluate(
        "[...document.querySelectorAll('figure svg')].flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {"
        "const own = text.getBoundingClientRect(), all = svg.getBoundingClientRect();"
        "return own.left < all.left - 1 || own.right > all.right + 1; }).map(text => text.textContent))"
    )
    assert outside == []


def test_light_and_dark_follow_the_system(opened, files):
    light, dark = (opened(files["atoms"], 800, color_scheme=scheme) for scheme in ("light", "dark"))
    ground = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(ground) == "rgb(255, 255, 255)"
    assert dark.evaluate(ground) == "rgb(20, 24, 31)"


def test_a_keyboard_reaches_contents_tables_and_code(opened, files):
    page = opened(files["atoms"], 800, reduced_motion="reduce")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Try it: move the features"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#living"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.tagName"))
    assert {"DIV", "PRE"} <= reached
