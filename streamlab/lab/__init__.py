"""Make it happen."""
