"""Colours and markers that several displays share."""

# Told apart by colour-blind readers too (Okabe and Ito, 2008); without its yellow, which is faint
# on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")


def color_of(i):
    """Return the colour of series `i`; the eighth has that of the first."""
    return COLORS[i % len(COLORS)]


def marker_of(i):
    """Return the marker of series `i`; the eighth has that of the first."""
    return MARKERS[i % len(MARKERS)]
