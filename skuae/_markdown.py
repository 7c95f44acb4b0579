"""Escapes for text of users in Markdown, which must not become markup."""

import re

_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# An underscore between letters is none of emphasis, and names have many.
_MARKUP = re.compile(r"([\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_]))")


def escape(text: object) -> str:
    """Return a text that Markdown shows as it is, on one line.

    Parameters
    ----------
    text : object
        Its ``str`` is taken.

    Returns
    -------
    str
    """
    line = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\1", re.sub("[&<>]", lambda found: _HTML[found[0]], line))
