"""Text as the models see it: one normal form for queries and keywords, and one for countries."""

from __future__ import annotations

import re
import unicodedata

import regex

_ALIKE: dict[int, str | None] = {
    **dict.fromkeys(map(ord, "‘’‚‛′´`ʻʼ׳"), "'"),  # apostrophes, what is typed for them, and letters of their shape
    **dict.fromkeys(map(ord, "“”„‟″״"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−⁃˗"), "-"),
    **dict.fromkeys(map(ord, "〜"), "~"),  # some systems write the other wave dash, U+FF5E, which NFKC makes a tilde
    **dict.fromkeys(map(ord, "⁄"), "/"),  # NFKC writes ½ with it
    **dict.fromkeys(map(ord, "\u2800"), " "),  # Braille without dots
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # halves of characters: no text, and so written by readers
}
"""What people type for one another. NFKC would take some of them apart, so they are replaced before it."""

_IGNORABLE = (  # Unicode's property Default_Ignorable_Code_Point, written out for the speed of `re`
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_CONTROL = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufff9-\ufffb"  # those that are no white space, and annotations
_INVISIBLE = re.compile(f"[{_IGNORABLE}{_CONTROL}]+")
_ODD = re.compile(f"[{_IGNORABLE}{_CONTROL}{''.join(map(re.escape, map(chr, _ALIKE)))}]")

_ZWNJ, _ZWJ, _MONGOLIAN_SEPARATOR = "\u200c", "\u200d", "\u180e"
_FLAG_TAGS = regex.compile("[\U000e0020-\U000e007e]+\U000e007f")
_VIRAMA = r"\p{ccc=9}\p{Mn}*"
_JOINERS = tuple(
    (sign, regex.compile(before + r"\Z"), regex.compile(after))
    for sign, before, after in (
        (_ZWJ, r"\p{Extended_Pictographic}\p{Emoji_Modifier}?", r"\p{Extended_Pictographic}"),
        (_ZWJ, _VIRAMA, ""),
        (_ZWJ, r"\p{L}", r"\p{ccc=9}"),
        (_ZWNJ, _VIRAMA, r"\p{L}"),
        (_ZWNJ, r"[\p{Jt=D}\p{Jt=L}]\p{Mn}*", r"\p{Mn}*[\p{Jt=D}\p{Jt=R}]"),
        (_MONGOLIAN_SEPARATOR, r"\p{Script=Mongolian}", "[\u1820\u1821]"),
    )
)
"""Invisible characters that change what is seen: which, after what, and before what."""
_PICTURE = regex.compile(r"\p{Extended_Pictographic}\Z")
_LOOK_BACK = 8  # characters; a letter carries no more marks


def normalise_query(text: str) -> str:
    r"""Return the normal form of a query: what a person cannot see or type apart is one text. Idempotent.

    It is Unicode's NFKC_Casefold (UAX #44), which search engines use (Lucene's `ICUNormalizer2Filter`): NFKC, case
    folded, without invisible characters. Control characters vanish too, apostrophes, quotes and dashes of one shape
    become the ASCII ones, and white space is collapsed and trimmed. A text of nothing visible becomes empty. Accents,
    CJK variants and skin tones stay.

    Other than there, an invisible character stays where it makes another word or picture: the joiner inside an emoji,
    the tags of a flag, joiners after a virama or between letters that would join (UAX #31, A1, A2 and B, and Bengali's
    before a virama), and the Mongolian vowel separator. Half of a character (a lone surrogate) becomes U+FFFD.

    >>> normalise_query("  Caf\u0065\u0301\u3000NOIR\u200b "), normalise_query("dog\u2019s") == normalise_query("DOG's")
    ('café noir', True)
    >>> normalise_query("\ufeff\u200b"), len(normalise_query("👩\u200d💻\ufe0f"))
    ('', 3)
    """
    form = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _seen(text)).casefold())
    seen = _seen(form)
    # NFKC and case folding may make more of the same, such as the fraction slash of ½
    return " ".join(form.split()) if seen == form else normalise_query(seen)


def normalise_country(text: str) -> str:
    """Return a country's code as the log has it: in capitals. What is no code stays and matches none.

    >>> normalise_country("gb"), normalise_country("ß")
    ('GB', 'ß')
    """
    return text.upper() if text.isascii() else text


def _seen(text: str) -> str:
    return _INVISIBLE.sub(_kept, text.translate(_ALIKE)) if _ODD.search(text) else text


def _kept(found: re.Match[str]) -> str:
    """Return what stays of a run of invisible characters: one that changes what is seen around it, or nothing."""
    run, text, start = found[0], found.string, found.start()
    back = max(0, start - _LOOK_BACK)
    for sign, before, after in _JOINERS:
        if sign in run and before.search(text, back, start) and after.match(text, found.end()):
            return sign
    tags = _FLAG_TAGS.search(run)
    return tags[0] if tags and _PICTURE.search(text, back, start) else ""
