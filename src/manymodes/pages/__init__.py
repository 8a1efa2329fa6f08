"""Self-contained HTML: the building blocks of reports and studies. No page makes a network request."""

from manymodes.pages.bars import bar_chart, sparkline
from manymodes.pages.charts import Chart, as_text
from manymodes.pages.html import Markup, bullets, code, contents, link, page, paragraph, section, subheading, table
from manymodes.pages.pictures import as_svg, picture
from manymodes.pages.ridges import ridge_chart

__all__ = [
    "Chart",
    "Markup",
    "as_svg",
    "as_text",
    "bar_chart",
    "bullets",
    "code",
    "contents",
    "link",
    "page",
    "paragraph",
    "picture",
    "ridge_chart",
    "section",
    "sparkline",
    "subheading",
    "table",
]
