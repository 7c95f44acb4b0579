"""Colours and markers that several displays share."""

# Told apart by colour-blind readers too (Okabe and Ito, 2008); without its yellow, which is faint
# on white.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
UNSEEN = "#cccccc"  # of elements that a table does not cover; no class has a grey


def color_of(i):
    """Return the colour of series `i`; the eighth colour is the first again."""
    return COLORS[i % len(COLORS)]


def marker_of(i):
    """Return the marker of series `i`; the eighth marker is the first again."""
    return MARKERS[i % len(MARKERS)]


def class_colors(n_classes):
    """Return a different colour for every class: for more than seven, steps of "viridis"."""
    if n_classes <= len(COLORS):
        return list(COLORS[:n_classes])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](i / (n_classes - 1))) for i in range(n_classes)]


def text_color(background):
    """Return black or white, whichever reads better on a colour (relative luminance of WCAG 2)."""
    from matplotlib.colors import to_rgb

    linear = [c / 12.92 if c < 0.04 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(background)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.179 else "white"
