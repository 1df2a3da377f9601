"""A course and laboratory for Redis Streams consumer groups."""

__version__ = "0.1.0"
