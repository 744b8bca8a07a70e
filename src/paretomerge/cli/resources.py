"""Errors of the machine rather than of the program: memory or disk that ran out, as sentences that say what to do."""

from __future__ import annotations

import errno

_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENAMETOOLONG,
}  # fmt: skip
_MEMORY = ("can't allocate memory", "out of memory", "cannot allocate memory", "bad_alloc", "can't start new thread")


def machine_error(error: BaseException) -> str | None:
    """What the machine lacked, and what to do; `None` for any other error."""
    if isinstance(error, MemoryError) or any(word in str(error).lower() for word in _MEMORY):
        return (
            "memory ran out; what was stored is kept. Use fewer workers, smaller batches or a larger machine, and run "
            "the same command again"
        )
    if isinstance(error, OSError) and error.errno in _DISK:
        place = f" {error.filename}" if error.filename else ""
        return (
            f"the disk refused{place}: {error.strerror}. Check the permissions, the disk and its quota, and run the "
            "same command again"
        )
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many files are open: raise the limit (ulimit -n), and run the same command again"
    return None
