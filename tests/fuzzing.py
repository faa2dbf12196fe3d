"""What generated tests share: odd values, and visitor ids that are recognised wherever they turn up."""

from __future__ import annotations

import re

from hypothesis import settings
from hypothesis import strategies as st

QUICK = settings(max_examples=40)
LONG = settings(max_examples=400)
"""For the second tier."""

VISITOR = re.compile("5eaf00d5-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
VISITORS = st.integers(0, 30).map(lambda number: f"5eaf00d5-{number:04x}-4000-8000-{number:012x}")

ODD_TEXTS = (
    *("", " ", "\n", "a\nb", "\u200b", "é", "猫", "a" * 5000, "\udcff", "-", ",", ",,", "@", "{", "{}", "[]", "null"),
    *("-1", "0", "1", "007", "0.5", "99999999999999999999", "-99999999999999999999", "nan", "inf", "1e400", "²", "1_0"),
    *("true", "2025-12-28", "2025-02-30", "0001-01-01", "9999-12-31", "0001-01-01T00:00:00+10:00", "2025-12-28T10Z"),
    *(
        "..",
        "../..",
        ".",
        "/",
        "~",
        "/dev/null",
        "/dev/null/below",
        "nowhere",
        "file://",
        "foo://x",
        "http://[",
        "gs://x",
    ),
    *("cat", "GB", "ß", "tiny", "run", "release", "published", "hit_rate@10", "hit_rate@²", "a=b/c=d"),
)
"""Values for any option or setting: numbers out of range, days that are none, places that are none, other scripts."""

CELLS = st.one_of(
    st.sampled_from([*(text for text in ODD_TEXTS if text != "\udcff"), '"', '""', "a\tb", "a;b", 'a"b', "\r", "\x00"]),
    st.text(st.characters(codec="utf-8"), max_size=12),
)
"""Values of a table, which a file holds in UTF-8."""
