"""Benchmarks of fastbp: over its history (`benchmarks/`, by asv), and beside other libraries (`peers/`)."""
