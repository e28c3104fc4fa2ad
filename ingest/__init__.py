"""Bytes of any trace to raw tables to canonical events."""
