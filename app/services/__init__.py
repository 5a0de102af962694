"""What Hermes does, as use cases: no SQL, no HTTP, no Celery; those come in through the ports."""
