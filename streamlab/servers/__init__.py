"""Where a Redis comes from."""
