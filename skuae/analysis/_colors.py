"""Colours that people of all kinds of colour vision tell apart."""

# Okabe and Ito; https://jfly.uni-koeln.de/color
CLASS_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
