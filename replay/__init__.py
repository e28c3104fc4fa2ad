"""Replay a recorded trace of long-term page pins under each policy that was proposed for them."""

__version__ = "0.1.0"
