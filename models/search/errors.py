"""The errors of this package that a user can act on; stages pass their text on."""

from models.errors import CodedError


class ModelError(CodedError):
    """A model cannot be found, read or used. The text says what is wrong, where, and what to do."""
