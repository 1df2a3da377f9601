"""`LabError`: a run that could not go on."""


class LabError(RuntimeError):
    """A run that could not go on. The message says what happened, and what to do."""
