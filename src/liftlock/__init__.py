"""liftlock: build once, and lift the same bytes from environment to environment."""

__version__ = "0.1.0"

__all__ = ["__version__"]
