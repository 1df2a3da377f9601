"""Soaks: services under random kills, pauses, cuts and failovers, whose books must be right in the end.

``python -m tests.soak`` runs the actors of `streamlab.actors`, ``python -m tests.soak.lesson`` the two programs of
lesson 07.
"""
