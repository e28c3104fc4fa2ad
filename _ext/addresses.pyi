"""Part of the in-order pass of lowering; nothing in it is for Python. See addresses.pyx."""

from typing_extensions import disjoint_base

@disjoint_base
class AddressSpaces: ...
