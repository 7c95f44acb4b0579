"""The version of skuae."""

__version__ = "0.1.0.dev0"
