"""`Watch` and ``streamlab watch``: a stream that others write and read, and that is left as it is."""
