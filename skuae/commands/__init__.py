"""Commands of ``skuae``, one module each."""

__all__: list[str] = []
