"""The suites that asv runs. `common.py` has the cases and the data."""
