"""A study as a page: what was asked, what to conclude, what was compared, how to run it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from manymodes.pages import bullets, link, page, paragraph, picture, section, table
from manymodes.studies.frame.result import Block, Figure, Result, Section, Table


def study_page(result: Result, command: str, about: Mapping[str, Any]) -> str:
    """Return the page of a study, one file without requests.

    Args:
        result: What the study found.
        command: The command that runs it again.
        about: Settings and versions, shown at the end.
    """
    lead, *problem = result.problem
    facts = "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in about.items())
    return page(
        result.title,
        lead,
        [
            *map(paragraph, problem),
            section("What to conclude", bullets(result.conclusions)),
            *map(_section, result.sections),
            section("Run it again", paragraph(command), paragraph(facts)),
        ],
    )


def index_page(records: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return the page that leads to those of several studies.

    Args:
        records: For each study the address of its page, and what ``Result.to_json`` holds.
    """
    sections = [
        section(record["title"], bullets(record["conclusions"][:2]), link("The whole study", address))
        for address, record in records
    ]
    return page("Published experiments, run again", "What each study concludes, and where to read it.", sections)


def _section(part: Section) -> str:
    return section(part.heading, *map(_block, part.blocks))


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return table(block.columns, block.text(), caption=block.caption, marked=block.marked())
    if isinstance(block, Figure):
        return picture(block.svg, block.caption)
    return paragraph(block)
