import base64
import re

from manymodes.pages import picture
from manymodes.pages.pictures import as_svg
from manymodes.plots import canvas


def drawn(seed=0):
    figure, axes = canvas.figure(1, 2)
    axes[0, 0].plot([0, 1], [seed, 1])
    return figure


def test_the_same_figure_is_the_same_text():
    assert as_svg(drawn(), "a") == as_svg(drawn(), "a")
    assert "<dc:date>" not in as_svg(drawn(), "a")


def test_a_picture_is_part_of_the_page_with_its_text_for_screen_readers():
    html = picture("<svg/>", 'What is "here" & there')
    assert html.count("What is &quot;here&quot; &amp; there") == 2
    (content,) = re.findall(r"base64,([^\"]+)", html)
    assert base64.b64decode(content) == b"<svg/>"
