"""The beginning that many prompts share, which has to be read only once."""


def common_length(left: list[int], right: list[int]) -> int:
    """Return how many tokens two prompts share from their beginning."""
    for n, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return n
    return min(len(left), len(right))


def shared_prefix(prompts: list[list[int]]) -> list[int]:
    """Find a beginning that at least half of the prompts share, at least a quarter of the median prompt, or nothing.

    In sorted order whatever two prompts share is shared by all between them, so the middle half is looked at. Fixed
    demonstrations give such a prefix, and so does a system message before short questions; demonstrations drawn for
    each example don't.
    """
    ordered = sorted(prompts)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    # At least one token is left to be read, because its output is what is wanted.
    length = min(common_length(low, high), min(map(len, prompts)) - 1)
    usual = sorted(map(len, prompts))[len(prompts) // 2]
    return low[:length] if len(prompts) > 1 and 4 * length >= usual else []
