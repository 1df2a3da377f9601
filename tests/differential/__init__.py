"""Differential tests: the same commands to the model and to a server, replies compared in full.

``pytest tests/differential`` runs a few hundred sequences against each server on the PATH;
``python -m tests.differential --sequences 20000`` runs as many as one likes.
"""
