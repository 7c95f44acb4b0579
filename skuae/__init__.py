"""Universal atomic embeddings for crystals behind fit and predict."""

__version__ = "0.1.0.dev0"
