"""The shape of what the models tell a user: a code, a text and what the text names. Each error is where it arises."""


class CodedError(Exception):
    """Something the user can act on.

    `code` is short and stable: tests, scripts and the page of error codes go by it. The text says what happened,
    why, and what to do; it may change at any time. What the text names (a file, a step, a count) is in `named` too.

    >>> error = CodedError("index_file_missing", "a.faiss is missing", path="a.faiss")
    >>> error.code, str(error), error.named
    ('index_file_missing', 'a.faiss is missing', {'path': 'a.faiss'})
    """

    def __init__(self, code: str, text: str, **named: object) -> None:
        super().__init__(code, text)  # both, so that it can be pickled on its way out of a worker
        self.code = code
        self.named = named

    def __str__(self) -> str:
        """Return the text."""
        return str(self.args[1])
