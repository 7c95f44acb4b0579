"""HTML of objects in notebooks: a name, facts and a table, for light and dark pages."""

from collections.abc import Mapping
from html import escape

import pandas as pd

_BORDER = "1px solid rgba(128, 128, 128, 0.4)"
_CELL = "text-align: left; padding: 0 1em 0 0; background: none; vertical-align: top"


def as_html(
    title: str, facts: Mapping[str, object], table: pd.DataFrame | None = None, below: str = ""
) -> str:
    """Return HTML without colours of its own, so that it takes those of the page.

    Parameters
    ----------
    title : str
    facts : dict of str to object
        Shown as text.
    table : DataFrame, optional
        Shown in full.
    below : str, default=""
        A line below the table.

    Returns
    -------
    str
        All texts are escaped.
    """
    rows = "".join(
        f'<tr style="background: none"><td style="{_CELL}; opacity: 0.7">{escape(name)}</td>'
        f'<td style="{_CELL}">{escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    frame = "" if table is None else table.to_html(escape=True, border=0)
    note = f'<div style="opacity: 0.7">{escape(below)}</div>' if below else ""
    return (
        f'<div style="border: {_BORDER}; border-radius: 4px; padding: 0.5em 1em; '
        f'display: inline-block; max-width: 100%; overflow-x: auto"><b>{escape(title)}</b>'
        f'<table style="border: none; margin: 0.3em 0">{rows}</table>{frame}{note}</div>'
    )
