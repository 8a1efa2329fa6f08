"""Self-contained HTML: the building blocks of reports. No page makes a network request."""

from manymodes.pages.charts import Chart, as_text
from manymodes.pages.html import page, paragraph, section, table
from manymodes.pages.ridges import ridge_chart

__all__ = ["Chart", "as_text", "page", "paragraph", "ridge_chart", "section", "table"]
