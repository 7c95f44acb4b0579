"""Commands of ``skuae``: one module for each, which adds its options to the parser and runs."""

from skuae.commands._settings import parse_settings

__all__ = ["parse_settings"]
