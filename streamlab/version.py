"""The version, which stands below all that says it."""

__version__ = "0.1.0"
