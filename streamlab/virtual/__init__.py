"""Virtual time, and a Redis in it."""
