"""The errors a user sees. The command line prints code and text as they are; anything else keeps its traceback."""

from models.errors import CodedError


class NightlensError(CodedError):
    """Something the user can act on."""


class MissingInput(NightlensError):
    """An input dataset, table or file is not there, or is empty."""


class BadInput(NightlensError):
    """The input is there but cannot be used."""


class LostWork(NightlensError):
    """Something outside failed, such as a machine, a server or a full disk: the same call again may well succeed."""


class GateFailed(NightlensError):
    """A limit set by a parameter was passed: too many bad rows, a leak, a recall below its floor."""


class Rejected(NightlensError):
    """A person decided against a candidate, or nobody decided in time: the path of its promotion ends here."""
