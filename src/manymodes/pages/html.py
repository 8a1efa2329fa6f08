"""Pages, sections and tables; whatever text is handed in is escaped."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

from manymodes.pages.style import STYLE


class Markup(str):
    """HTML that goes into a cell as it is."""

    __slots__ = ()


def page(title: str, lead: str, sections: Sequence[str]) -> str:
    """Return a whole page: a title, a leading paragraph and sections of HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead">{escape(lead)}</p>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def contents(places: Mapping[str, str]) -> str:
    """Return links to sections of the page: their headings by their anchors."""
    links = "\n".join(f'<li><a href="#{escape(anchor)}">{escape(text)}</a></li>' for anchor, text in places.items())
    return f'<nav class="contents" aria-label="Contents">\n<ol>\n{links}\n</ol>\n</nav>'


def section(heading: str, *parts: str, anchor: str = "") -> str:
    """Return a section of HTML parts under a heading, with an anchor where links shall lead to it."""
    body = "\n".join(parts)
    if not anchor:
        return f"<section>\n<h2>{escape(heading)}</h2>\n{body}\n</section>"
    name = escape(anchor)
    start = f'<section id="{name}" aria-labelledby="{name}-heading">\n<h2 id="{name}-heading">{escape(heading)}</h2>'
    return f"{start}\n{body}\n</section>"


def subheading(text: str) -> str:
    """Return a heading within a section."""
    return f"<h3>{escape(text)}</h3>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text; its kind may be ``"finding"`` or ``"note"``, which stand out."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def code(text: str) -> str:
    """Return lines of code."""
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


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
    attributes: Sequence[Mapping[str, str]] = (),
    words: bool = False,
) -> str:
    """Return a table of plain text cells; the first column is a label.

    Args:
        header: Names of the columns.
        rows: Cells of each row; what is ``Markup`` is not escaped, and a line break stays one.
        caption: What the table shows; none where it is empty.
        marked: For each row, the places of cells that stand out; empty for none.
        attributes: For each row, attributes of its element; empty for none.
        words: Whether cells hold words rather than numbers, and are aligned like words.
    """
    title = f'<p class="caption">{escape(caption)}</p>\n' if caption else ""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    plain: Sequence[Mapping[str, str]] = [{}] * len(rows)
    labels = header if words else [""] * len(header)  # narrow pages show them in front of every cell
    parts = zip(rows, marked or [()] * len(rows), attributes or plain, strict=True)
    body = "\n".join(_row(labels, *part) for part in parts)
    kind = ' class="words"' if words else ""
    name = escape(caption.partition(";")[0] or ", ".join(header[:4]))
    return (  # whoever has a keyboard only must be able to scroll
        f'{title}<div class="scroll" role="region" tabindex="0" aria-label="Table: {name}"><table{kind}>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(labels: Sequence[str], cells: Sequence[str], marked: Collection[int], attributes: Mapping[str, str]) -> str:
    own = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    elements = [
        _element(place, label, cell, place in marked)
        for place, (label, cell) in enumerate(zip(labels, cells, strict=True))
    ]
    return f"<tr{own}>" + "".join(elements) + "</tr>"


def _element(place: int, label: str, cell: str, is_marked: bool) -> str:
    tag, scope = ("td", f' data-label="{escape(label)}"' if label and cell else "") if place else ("th", ' scope="row"')
    best = ' class="best"' if is_marked else ""
    return f"<{tag}{scope}{best}>{cell if isinstance(cell, Markup) else _cell(cell)}</{tag}>"


def _cell(text: str) -> str:
    """Return a cell that breaks at its line breaks and before its ±, which is written smaller."""
    number, sign, error = (part.strip().replace(" ", "&nbsp;") for part in escape(text).partition("±"))
    return f"{number} <small>±&nbsp;{error}</small>" if sign else escape(text).replace("\n", "<br>")
