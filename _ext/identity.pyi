STEPS: tuple[str, ...]
