"""How fast Hermes is, beside what bounds it and beside what is usually written instead: `make bench`.

Every figure is a ratio of things measured in one run on one machine. No part of the tests: speed is measured, never
asserted; that every document arrived once is asserted after each measurement.
"""
