"""Chaos: Hermes' real processes under deaths and outages, and the proof that nothing is lost or sent twice.

    python -m tests.chaos --rounds 20

`rounds` has the scenarios; the rest is the stage they are played on.
"""
