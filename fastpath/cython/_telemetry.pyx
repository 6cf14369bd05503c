# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Leaf loops over a telemetry region. Twin: tests/reference/telemetry.py.

Layout: fastpath/rust/shm/src/layout.rs. A region is written by another process meanwhile and may hold anything:
words are loaded one by one and atomically, and a descriptor is copied before it is looked at, so what was
checked is what is used.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t load_relaxed(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
    static inline uint64_t load_acquire(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    static inline void fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
    """
    uint64_t load_relaxed(const uint64_t *word) noexcept nogil
    uint64_t load_acquire(const uint64_t *word) noexcept nogil
    void fence_acquire() noexcept nogil

cdef enum:
    WORD = 8
    DESCRIPTOR_HEAD = 16    # layout::DESCRIPTOR_HEAD
    CHECKED_FROM = 8        # layout::CHECKED_FROM
    MAX_DESCRIPTOR = 16384  # layout::MAX_DESCRIPTOR


def load(const uint64_t[::1] region not None, Py_ssize_t at):
    """One word, with acquire order. Raises IndexError outside of the region."""
    if at < 0 or at >= region.shape[0]:
        raise IndexError(f"word {at} of a region of {region.shape[0]} words")
    return load_acquire(&region[at])


def load_after(const uint64_t[::1] region not None, Py_ssize_t at):
    """One word, loaded after everything that was read before. Raises IndexError outside of the region."""
    if at < 0 or at >= region.shape[0]:
        raise IndexError(f"word {at} of a region of {region.shape[0]} words")
    fence_acquire()
    return load_relaxed(&region[at])


def copy_words(const uint64_t[::1] region not None, Py_ssize_t first, uint64_t[::1] out not None):
    """Fill `out` with the words from `first` on. Raises ValueError when they lead out of the region."""
    cdef Py_ssize_t i, count = out.shape[0]
    if first < 0 or first > region.shape[0] or count > region.shape[0] - first:
        raise ValueError("the words lead out of the region")
    with nogil:
        for i in range(count):
            out[i] = load_relaxed(&region[first + i])


def add_words(
    const uint64_t[::1] words not None, const uint32_t[::1] target not None, uint64_t[::1] out not None
):
    """Add each of `words` to the word of `out` that `target` names. Raises ValueError when there is none."""
    cdef Py_ssize_t i, size = out.shape[0], count = words.shape[0]
    cdef bint inside = True
    if target.shape[0] < count:
        raise ValueError("words without a target")
    with nogil:
        for i in range(count):
            if target[i] < size:
                out[target[i]] += words[i]
            else:
                inside = False
    if not inside:
        raise ValueError("a target leads out of the totals")


def changed_words(
    const uint64_t[::1] now not None, const uint64_t[::1] before not None, uint32_t[::1] out not None
):
    """Write the numbers of the words that differ into `out`, ascending; how many. Missing words were 0."""
    cdef Py_ssize_t i, found = 0, known = before.shape[0], count = now.shape[0]
    if out.shape[0] < count:
        raise ValueError("out is shorter than the words")
    with nogil:
        for i in range(count):
            if now[i] != (before[i] if i < known else 0):
                out[found] = <uint32_t>i
                found += 1
    return found


def descriptors(const uint64_t[::1] region not None, Py_ssize_t at, Py_ssize_t end, Py_ssize_t count):
    """The `count` descriptors from byte `at` on, none beyond byte `end`, and the byte behind them.

    Each is `(kind, bounds, value index, [flat, base, label, value, ...])`. Raises ValueError at the first that
    cannot be right; its text says what is wrong.
    """
    cdef const uint8_t *base
    cdef Py_ssize_t n
    cdef uint32_t size
    cdef bytes copy
    if at < 0 or at % WORD or end < at or end > region.shape[0] * WORD:
        raise ValueError("the descriptors lead out of the region")
    if region.shape[0] == 0:
        return [], at
    base = <const uint8_t *>&region[0]
    found = []
    for n in range(count):
        if end - at < DESCRIPTOR_HEAD:
            raise ValueError("length is impossible")
        memcpy(&size, base + at, sizeof(size))
        if size < DESCRIPTOR_HEAD or size > MAX_DESCRIPTOR or size % WORD or <Py_ssize_t>size > end - at:
            raise ValueError("length is impossible")
        copy = PyBytes_FromStringAndSize(<const char *>base + at, size)
        found.append(decode(copy, size))
        at += size
    return found, at


cdef tuple decode(bytes descriptor, uint32_t claimed):
    cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(descriptor)
    cdef Py_ssize_t size = len(descriptor), at = DESCRIPTOR_HEAD
    cdef uint32_t length, checksum, value
    cdef uint16_t labels
    cdef uint32_t n
    memcpy(&length, raw, 4)
    memcpy(&checksum, raw + 4, 4)
    if length != claimed or checksum != fnv1a(raw + CHECKED_FROM, size - CHECKED_FROM):
        raise ValueError("checksum does not match")
    memcpy(&value, raw + 8, 4)
    memcpy(&labels, raw + 14, 2)
    strings = []
    for n in range(2 + 2 * <uint32_t>labels):
        at = take_text(raw, size, at, strings)
    return raw[12], raw[13], value, strings


cdef Py_ssize_t take_text(const uint8_t *raw, Py_ssize_t size, Py_ssize_t at, list strings) except -1:
    cdef uint16_t length
    if size - at < 2:
        raise ValueError("string is broken")
    memcpy(&length, raw + at, 2)
    at += 2
    if size - at < length:
        raise ValueError("string is broken")
    strings.append(PyUnicode_DecodeUTF8(<const char *>raw + at, length, NULL))
    return at + length


cdef uint32_t fnv1a(const uint8_t *bytes, Py_ssize_t count) noexcept nogil:
    cdef uint32_t hash = 0x811c9dc5
    cdef Py_ssize_t i
    for i in range(count):
        hash = (hash ^ bytes[i]) * 0x01000193
    return hash
