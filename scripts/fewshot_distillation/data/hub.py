"""Errors of the Hugging Face hub and of the network on the way to it."""

import contextlib
from collections.abc import Iterator

from ..config.sources import HubDataset, HubModel
from ..errors import JobError, full_disk


@contextlib.contextmanager
def one_sentence(source: HubModel | HubDataset) -> Iterator[None]:
    """Turn what goes wrong in the block into a JobError with a sentence."""
    from httpx2 import HTTPError  # of huggingface_hub, which lets connection errors through
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        if full_disk(error):
            raise
        raise JobError(
            f"{source.hub} at {source.revision} can't be fetched from the hub: {error}; run this on a machine with "
            "network access, or use a folder on this one as the source (`files`)"
        ) from None
