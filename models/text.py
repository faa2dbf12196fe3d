"""Text as the models see it: one normal form for queries and keywords."""

from __future__ import annotations

import unicodedata


def normalise_query(text: str) -> str:
    r"""Return the normal form of a query: NFKC, casefolded, white space collapsed and trimmed.

    NFKC is applied again after casefolding, which can undo it. Idempotent.

    >>> normalise_query("  Caf\u0065\u0301\u3000NOIR ")
    'café noir'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())
