"""Hermes: from a pharmacy chain's own database to a partner's API, nothing lost, nothing sent twice."""

__version__ = "0.1.0"
