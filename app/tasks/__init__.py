"""Celery's side: what beat and workers run. Each task is a few lines around a service."""
