"""The section of a report on the contents and origin of a table."""

from textwrap import shorten

import numpy as np
import pandas as pd

from skuae._elements import SYMBOLS
from skuae.analysis._inputs import vectors
from skuae.analysis.report._parts import Section, count_of, listing
from skuae.analysis.tables import make_control, principal

_CARD = ("description", "source", "licence", "targets", "parts", "rows", "n_train",
         "metrics", "validation_mae", "note", "citation")  # fmt: skip
_LONGEST = 500  # characters of an entry of the card


def card_section(table):
    """Describe the contents and origin of a table.

    Parameters
    ----------
    table : ElementTable

    Returns
    -------
    Section
    """
    section = Section("card", "The table")
    rows, card = vectors(table), table.metadata
    missing = [s for s, seen in zip(SYMBOLS, table.seen, strict=True) if not seen]
    section.say(
        f"{table.name} has a vector of {count_of(table.n_dims, 'number')} for each of "
        f"{len(rows)} elements;",
        f"{listing(missing) if len(missing) <= 32 else f'{len(missing)} elements'} "
        f"{'is' if len(missing) == 1 else 'are'} not covered."
        if missing
        else "all 118 are covered.",
    )
    shares = principal(rows, min(rows.shape))[1]
    permuted = principal(make_control(rows, "permuted", 0), min(rows.shape))[1]
    needed, null = (int(np.searchsorted(np.cumsum(s), 0.9)) + 1 for s in (shares, permuted))
    section.say(
        f"90 % of its variance lies in {count_of(needed, 'principal component')}; with the values "
        f"of every column dealt out anew among the elements it takes {null}."
    )
    if card.get("leakage"):
        section.say(f"What it has seen: {card['leakage']}")
    else:
        section.say(
            "Its card does not say which crystals it was learned from, if any: whether rows of "
            "your own test set were among them cannot be told from it."
        )
    section.say(_what_went_in(table))
    spread = rows.std(axis=0)
    stats = {
        "name": table.name,
        "elements": str(len(rows)),
        "dimensions": str(table.n_dims),
        "standard deviation of a column, mean": f"{spread.mean():.4g}",
        "standard deviation of a column, its spread": f"{spread.std():.4g}",
        **{
            key: shorten(_plain(card[key]), _LONGEST, placeholder=" ...")
            for key in _CARD
            if not ("parts" in card and key in ("rows", "metrics"))  # of many trainings
            and card.get(key) not in (None, "", [], {})
        },
    }
    section.keep("card", pd.DataFrame({"value": stats}), "Card of the table.")
    return section


def properties_in(table):
    """Return the tables of elemental properties from which the vectors of a table were learned.

    Parameters
    ----------
    table : ElementTable

    Returns
    -------
    list of str
    """
    card = table.metadata
    found = card.get("element_features") or (card.get("params") or {}).get("element_features")
    return _names(found)


def _names(features):
    """Return the names in a parameter on a card: a name, a list of names, or a tagged list."""
    if isinstance(features, str):
        return [features]
    inner = features.values() if isinstance(features, dict) else features or ()
    return [name for one in inner for name in _names(one)]


def _what_went_in(table):
    features = properties_in(table)
    if features:
        graph_network = table.metadata.get("front_end") == "CrystalGNNRegressor"
        own = "" if graph_network else ", with rows of their own added"
        return (
            f"Its vectors are a learned map of known properties of the elements "
            f"({listing(features)}){own}. Radius, electronegativity and the like went in, so that "
            "finding them in the vectors is partly reading them back."
        )
    if table.name in ("magpie", "cgcnn", "oliynyk", "magpie_sc", "oliynyk_sc", "xenonpy"):
        return (
            "Its vectors are properties of the elements: probes for radius or electronegativity "
            "read back what was put in."
        )
    return ""


def _plain(value):
    """Return an entry of a card as one line of text."""
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_plain, value))
    return str(value)
