"""What a scenario runs on: the simulated engine in virtual time, the live one on a real Redis."""
