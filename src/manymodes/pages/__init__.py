"""Self-contained HTML: the building blocks of reports and studies. No page makes a network request."""

from manymodes.pages.charts import Chart, as_text
from manymodes.pages.html import bullets, link, page, paragraph, section, table
from manymodes.pages.pictures import as_svg, picture
from manymodes.pages.ridges import ridge_chart

__all__ = [
    "Chart",
    "as_svg",
    "as_text",
    "bullets",
    "link",
    "page",
    "paragraph",
    "picture",
    "ridge_chart",
    "section",
    "table",
]
