"""The one error that a person can act on."""

import contextlib
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
