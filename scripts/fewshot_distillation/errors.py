"""The one error that a person can act on."""

import contextlib
import errno
import os
from collections.abc import Iterator


class JobError(RuntimeError):
    """Something about the data, the model or the machine is wrong; the message is one sentence."""


@contextlib.contextmanager
def about(what: str) -> Iterator[None]:
    """Begin the message of an error within the block with its subject, such as an example."""
    try:
        yield
    except JobError as error:
        raise JobError(f"{what}: {error}") from None


def one_line(error: Exception) -> str:
    """Return the beginning of a library's message, in one line."""
    return " ".join(str(error).split())[:300]


def full_disk(error: Exception) -> bool:
    """Return whether a disk or a quota was full; libraries have classes of their own for it, with its message."""
    return any(os.strerror(number) in str(error) for number in (errno.ENOSPC, errno.EDQUOT))
