# The in-order pass over raw records.

from replay._ext.state cimport Record, State

cdef void expect(State state, const Record *record) noexcept nogil
cdef int meet(State state, Record *record) except -1 nogil
cdef int take(State state, Record *record) except -1 nogil
