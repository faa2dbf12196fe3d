"""The errors a user sees. The command line prints code and text as they are; anything else keeps its traceback."""


class NightlensError(Exception):
    """Something the user can act on.

    `code` is short and stable: tests, scripts and the page of error codes go by it. The text says what happened,
    why, and what to do; it may change at any time. What the text names (a file, a stage, a count) is in `named` too.

    >>> error = NightlensError("no_such_preset", "unknown preset 'x'", preset="x")
    >>> error.code, str(error), error.named
    ('no_such_preset', "unknown preset 'x'", {'preset': 'x'})
    """

    def __init__(self, *code_and_text: str, **named: object) -> None:
        *code, text = code_and_text
        super().__init__(text)
        self.code = code[0] if code else ""
        self.named = named


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
