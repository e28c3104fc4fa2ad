"""Decision `admit`: a long-term pin or a registration arrives."""

from __future__ import annotations

from oracle.state import World


def refusal(world: World, file: str, index: int, npages: int, write: bool, by_place: bool) -> str | None:
    """The rule that refuses it, or None. `by_place`: the blocks behind the range are looked at too."""
    rules = world.policy.admit
    on_dax = file in world.dax
    version = world.params["mainline.version"]
    assert isinstance(version, int)
    if "refuse_dax" in rules and on_dax and version >= 4015:
        return "refuse_dax"
    if "refuse_shared_file" in rules and write and version >= 6005 and not world.in_memory(file):
        return "refuse_shared_file"
    if "refuse_unrevocable" in rules and on_dax and world.params["hw.revoke"] == "none":
        return "refuse_unrevocable"
    if by_place and "need_allocated" in rules and not _allocated(world, file, index, npages):
        return "need_allocated"
    return None


def _allocated(world: World, file: str, index: int, npages: int) -> bool:
    """The whole range is allocated, unshared and inside of the file, as far as the trace tells."""
    places = [(file, place) for place in range(index, index + npages)]
    return not any(place in world.holes or place in world.shared for place in places)


def refuse(world: World, reason: str, file: str, npages: int) -> None:
    world.conflict("pin_refused", file, npages)
    world.refusals[reason, file] += npages
    world.costs["refused_pages"] += npages
