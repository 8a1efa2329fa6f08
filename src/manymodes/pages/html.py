"""Pages, sections and tables; whatever text is handed in is escaped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

_STYLE = """
:root { --ink: #1c2230; --soft: #5d6675; --line: #d9dee6; --paper: #ffffff; --blue: #0072b2; --orange: #d55e00;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #9aa4b2; --line: #3a4252; --paper: #14181f;
  --blue: #56b4e9; --orange: #e69f00; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 60rem; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { max-width: 44rem; } figcaption, .caption, th { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem .3rem 0; vertical-align: top; text-align: right; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; font-weight: 500; } th:first-child, td:first-child { text-align: left; }
td:first-child { white-space: nowrap; }
figure { margin: 1rem 0; } figcaption, .caption { font-size: .9rem; max-width: 44rem; }
.caption { margin: 1.2rem 0 .2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.axis { stroke: var(--line); } .grid { stroke: var(--line); stroke-dasharray: 2 4; } .dot { fill: var(--orange); }
.blue { stroke: var(--blue); } .orange { stroke: var(--orange); } .curve { fill: none; stroke-width: 2; }
.bar, .ridge { fill: var(--blue); fill-opacity: .35; } .ridge { stroke: var(--blue); stroke-width: 1.2; }
.band { fill: var(--soft); fill-opacity: .18; }
img.picture { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; } .best { font-weight: 650; }
a { color: var(--blue); } li { max-width: 42rem; margin: .3rem 0; }
.mark { stroke: var(--orange); stroke-width: 1.5; stroke-dasharray: 5 4; }
@media print { body { max-width: none; padding: 0; } figure, table { break-inside: avoid; } }
"""


def page(title: str, lead: str, sections: Sequence[str]) -> str:
    """Return a whole page: a title, a leading paragraph and sections of HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{paragraph(lead)}\n" + "\n".join(sections) + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Return a section of HTML parts under a heading."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str) -> str:
    """Return a paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def link(text: str, address: str) -> str:
    """Return a paragraph that leads to another page of the same folder."""
    return f'<p><a href="{escape(address)}">{escape(text)}</a></p>'


def bullets(texts: Sequence[str]) -> str:
    """Return a list of plain texts."""
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caption: str = "",
    marked: Sequence[Collection[int]] = (),
) -> str:
    """Return a table of plain text cells; the first column is a label.

    Args:
        header: Names of the columns.
        rows: Cells of each row.
        caption: What the table shows; none where it is empty.
        marked: For each row, the places of cells that stand out; empty for none.
    """
    title = f'<p class="caption">{escape(caption)}</p>\n' if caption else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "\n".join(_row(row, mark) for row, mark in zip(rows, marked or [()] * len(rows), strict=True))
    return (
        f'{title}<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def _row(cells: Sequence[str], marked: Collection[int]) -> str:
    tags = ['<td class="best">' if place in marked else "<td>" for place in range(len(cells))]
    return "<tr>" + "".join(f"{tag}{_cell(cell)}</td>" for tag, cell in zip(tags, cells, strict=True)) + "</tr>"


def _cell(text: str) -> str:
    """Return a cell that breaks before its ± only, which is written smaller."""
    number, sign, error = (part.strip().replace(" ", "&nbsp;") for part in escape(text).partition("±"))
    return f"{number} <small>±&nbsp;{error}</small>" if sign else number
