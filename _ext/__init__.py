"""The compiled core: numbers and time only."""
