"""What the embeddings know: functions that return data, and displays that draw it."""

__all__: list[str] = []
