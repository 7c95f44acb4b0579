"""The report: all analyses of one element table on one HTML page."""

from skuae.analysis.report._write import write_report

__all__ = ["write_report"]
