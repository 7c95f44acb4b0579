"""Sections of a report, and functions that write numbers as text."""

import io
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

_DPI = 130


@dataclass
class Section:
    """One section: sentences, figures and numbers.

    Parameters
    ----------
    key : str
        Anchor on the page.
    title : str
    text : list of str
        Sentences, one paragraph each.
    figures : dict from str to (bytes, str)
        PNG and caption by file name without its end.
    frames : dict from str to (DataFrame, str or None)
        Numbers and caption by file name without its end; those without a caption are written beside
        the page, but not shown on it.
    """

    key: str
    title: str
    text: list[str] = field(default_factory=list)
    figures: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    frames: dict[str, tuple[pd.DataFrame, str | None]] = field(default_factory=dict)

    def say(self, *sentences):
        """Add a paragraph of the sentences that are not empty, if there are any."""
        paragraph = " ".join(sentence for sentence in sentences if sentence)
        if paragraph:
            self.text.append(paragraph)

    def draw(self, name, display, caption):
        """Add what a display has drawn, and close its figure."""
        import matplotlib.pyplot as plt

        stream = io.BytesIO()
        # Legends beside the axes and labels of long names belong to the picture.
        display.figure_.savefig(stream, format="png", dpi=_DPI, bbox_inches="tight")
        plt.close(display.figure_)
        self.figures[name] = stream.getvalue(), caption

    def keep(self, name, frame, caption=None):
        """Add numbers."""
        self.frames[name] = frame, caption


def listing(names, last="and"):
    """Join names with commas and a last "and"."""
    names = [str(name) for name in names]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def number(value, digits=2):
    """Return a number as text, without the sign of a zero."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def span(values, digits=2):
    """Return the lowest and highest value as text, or one number if both read the same."""
    low, high = (number(value, digits) for value in (np.min(values), np.max(values)))
    return low if low == high else f"{low} to {high}"


def percent(share):
    """Return a share as text."""
    return f"{number(100 * share, 0)} %"


def count_of(n, noun):
    """Return a number with its noun in the singular or plural."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
