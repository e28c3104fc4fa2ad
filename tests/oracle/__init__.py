"""A second replayer, written from the model's text and not from the engine: slow, obvious, and held against the engine."""
