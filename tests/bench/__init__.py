"""Measurements: `make bench` and the tools that it needs."""
