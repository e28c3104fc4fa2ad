"""Makers of synthetic traces, byte by byte."""
