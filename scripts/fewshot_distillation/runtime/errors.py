"""The one error that a person can act on."""


class JobError(RuntimeError):
    """Something about the data, the model or the machine is wrong; the message is a sentence that says what."""
