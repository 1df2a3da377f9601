"""The two ways through a simulation: in one loop, and by coroutines."""
