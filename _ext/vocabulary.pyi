from typing_extensions import disjoint_base

@disjoint_base
class Vocabulary:
    count: int
    def words(self) -> list[bytes]: ...
    def clear(self) -> None: ...
