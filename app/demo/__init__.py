"""The demo: sample documents that look like a real chain's, for a database with nothing in it yet."""
