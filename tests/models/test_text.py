"""The normal form of queries: one text for what a person cannot see or type apart, and nothing else merged."""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from models.keyword_match import tokenise
from models.search.identity import query_text
from models.search.keywords import KeywordVocabulary
from models.text import normalise_country, normalise_query

EVERY = "".join(map(chr, range(sys.maxunicode + 1)))
ASSIGNED = [char for char in EVERY if unicodedata.category(char) not in ("Cn", "Co", "Cs")]
IGNORABLE = frozenset(regex.findall(r"\p{Default_Ignorable_Code_Point}", EVERY))
ZWSP, ZWNJ, ZWJ, VS15, VS16 = "\u200b", "\u200c", "\u200d", "\ufe0e", "\ufe0f"
VIRAMA = "\u094d"


@lru_cache
def forms() -> dict[str, str]:
    return {char: normalise_query(char) for char in ASSIGNED}


def test_the_form_of_every_assigned_character_is_its_own_form() -> None:
    words = " ".join(form for form in forms().values() if form)
    assert normalise_query(words) == words


def test_what_nobody_sees_vanishes() -> None:
    invisible = [char for char in ASSIGNED if char in IGNORABLE or unicodedata.category(char)[0] in "CZ"]
    visible = {
        *map(chr, range(0x600, 0x606)),
        *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd",
    }  # signs of numbers
    hieroglyphs = set(map(chr, range(0x13430, 0x13440)))  # they place what stands around them
    assert len(invisible) > 400
    assert {char for char in invisible if forms()[char]} == visible | (hieroglyphs & {*ASSIGNED})
    unassigned = "".join(IGNORABLE - {*ASSIGNED})
    assert len(unassigned) > 3000
    assert normalise_query(unassigned) == ""


def test_no_letter_digit_symbol_or_emoji_vanishes() -> None:
    shown = [char for char in ASSIGNED if unicodedata.category(char)[0] in "LMNPS" and char not in IGNORABLE]
    assert len(shown) > 100_000
    assert [char for char in shown if not forms()[char]] == ["\u2800"]  # Braille without dots


def test_what_is_not_assigned_yet_stays() -> None:
    unknown = "".join(c for c in EVERY if unicodedata.category(c) in ("Cn", "Co") and c not in IGNORABLE)
    assert normalise_query(unknown) == unknown


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("zero width space", f"c{ZWSP}at", "cat"),
        ("byte order mark", "\ufeffcat", "cat"),
        ("word joiner", "cat\u2060", "cat"),
        ("soft hyphen", "sun\u00adflower", "sunflower"),
        ("direction marks", "\u200f\u202bחתול\u202c\u200e", "חתול"),
        ("direction isolates", "\u2068cat\u2069", "cat"),
        ("combining grapheme joiner", "e\u034f\u0301", "é"),
        ("an accent behind something invisible", f"cafe{ZWSP}\u0301", "café"),
        ("Hangul fillers", "\u3164고양이\u115f\u1160\uffa0", "고양이"),
        ("text and emoji presentation", f"❤{VS16}", f"❤{VS15}"),
        ("variation of a Han character", "葛\U000e0100", "葛"),
        ("joiners without effect", f"ca{ZWJ}t{ZWNJ}s", "cats"),
        ("non-joiner behind a letter that does not join", f"کار{ZWNJ}ها", "کارها"),
        ("stray tags", "cat\U000e0063\U000e007f", "cat"),
        ("control characters", "c\x00a\x7ft", "cat"),
        ("annotation", "\ufff9cat\ufffb", "cat"),
        ("composed accents", "cafe\u0301", "café"),
        ("case", "STRASSE", "straße"),
        ("full width", "ＣＡＴ\uff0d１", "cat-1"),
        ("half width", "ﾈｺ", "ネコ"),
        ("ligature", "ﬁsh", "fish"),
        ("fraction", "½ moon", "1/2 moon"),
        ("apostrophes", "dog’s dog‘s dog‛s dog′s dogʼs dog´s dog`s", " ".join(["dog's"] * 7)),
        ("Ukrainian apostrophe", "м’яч", "мʼяч"),
        ("okina", "hawai\u02bbi", "hawai'i"),
        ("Hebrew geresh and gershayim", "ג׳ירפה צה״ל", "ג'ירפה צה\"ל"),
        ("quotes", "“cat” „cat‟ ‚cat‘", '"cat" "cat" \'cat\''),
        ("double prime", "5″", '5"'),
        ("dashes", "a‐b‑c‒d–e—f―g−h－i﹘j", "a-b-c-d-e-f-g-h-i-j"),
        ("wave dashes", "1\u301c2", "1\uff5e2"),
        ("spaces", "\u00a0black\u2009\u3000\u202fcat\u2028\u0085\u1680\u2800", "black cat"),
        ("half of a character", "cat\udcff", "cat\ufffd"),
    ],
)
def test_what_cannot_be_told_apart_is_one_query(kind: str, one: str, other: str) -> None:
    assert normalise_query(one) == normalise_query(other) != ""
    assert tokenise(one) == tokenise(other)
    assert query_text(one, "gb") == query_text(other, "GB")
    vocabulary = KeywordVocabulary.of_counts(KeywordVocabulary.count([[(one, 1.0)]]), 1, 10)
    assert vocabulary.row(other) == 0


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("accents", "résumé", "resume"),
        ("marks of vowels", "שָׁלוֹם", "שלום"),
        ("voiced kana", "か", "が"),
        ("Han variants", "黒猫", "黑猫"),
        ("long vowel and dash", "コーヒ", "コ-ヒ"),
        ("number one and dash", "一", "-"),
        ("look-alike letters", "сat", "cat"),
        ("skin tones", "👍🏽", "👍"),
        ("family and its members", f"👨{ZWJ}👩{ZWJ}👧", "👨👩👧"),
        ("profession", f"👩🏽{ZWJ}💻", "👩🏽💻"),
        ("rainbow flag", f"🏳{VS16}{ZWJ}🌈", "🏳🌈"),
        ("flags of countries", "🇬🇧", "🇫🇷"),
        ("flags of England and Scotland", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
         "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"),
        ("Persian prefix", f"می{ZWNJ}خواهم", "میخواهم"),
        ("Hindi half letter", f"क{VIRAMA}{ZWJ}ष", f"क{VIRAMA}ष"),
        ("Hindi explicit virama", f"क{VIRAMA}{ZWNJ}ष", f"क{VIRAMA}ष"),
        ("Sinhala sri", f"ශ්{ZWJ}රී", "ශ්රී"),
        ("Malayalam chillu", f"ന്{ZWJ}", "ന്"),
        ("Bengali ya-phalaa", f"র{ZWJ}্য", "র্য"),
        ("Mongolian black and look", "ᠬᠠᠷ\u180eᠠ", "ᠬᠠᠷᠠ"),
        ("spaces and none", "sun flower", "sunflower"),
        ("hyphen and none", "e-mail", "email"),
    ],
)  # fmt: skip
def test_what_means_something_else_stays_another_query(kind: str, one: str, other: str) -> None:
    assert normalise_query(one) != normalise_query(other)


@pytest.mark.parametrize("joiners", [ZWJ, ZWNJ, ZWJ + ZWJ, ZWSP + ZWJ, VS16 + ZWJ + ZWSP])
def test_a_joiner_counts_once_whatever_else_nobody_sees(joiners: str) -> None:
    assert normalise_query(f"ශ්{joiners}රී") == f"ශ්{joiners.strip(ZWSP + VS16)[0]}රී"


def test_tokens_have_no_joiners_so_that_both_spellings_of_a_word_match() -> None:
    assert tokenise(f"می{ZWNJ}خواهم") == tokenise("میخواهم") == ("میخواهم",)
    assert tokenise(f"👩{ZWJ}💻") == ("👩", "💻")


@pytest.mark.parametrize("text", ["", " ", ZWSP, f"\ufeff{ZWJ}\u3164 \u00ad", "\x00", "\u2800", "\U000e0001"])
def test_a_query_of_nothing_visible_is_empty(text: str) -> None:
    assert normalise_query(text) == ""
    assert tokenise(text) == ()


_INVISIBLE = f"{ZWSP}{ZWNJ}{ZWJ}{VS16}\u180e\u034f\U000e0067\U000e007f"
_MARKS = f"\u0345\u0301\u0308\u064b{VIRAMA}\u0dca\u0ddc\u09cdﾞ"
_OTHERS = "कبریෝরᠠᠷaAαΩßİŉª㎖ﱞﻻ￩か각™©👩🏽💻🏴½″´‑﹘ \u2028\ud83d\udc69"
_PARTS = st.text(st.sampled_from([*_INVISIBLE, *_MARKS, *_OTHERS]), max_size=8)


@given(st.one_of(_PARTS, st.text(st.characters(codec=None), max_size=12)))
def test_the_form_of_any_text_is_its_own_form(text: str) -> None:
    form = normalise_query(text)
    assert normalise_query(form) == form
    assert unicodedata.is_normalized("NFKC", form)
    assert form == " ".join(form.split())
    assert form.encode().decode() == form
    assert normalise_query(ZWSP.join(["", text, ""])) == form


def test_a_country_is_written_in_capitals() -> None:
    assert [normalise_country(text) for text in ("gb", "GB", "", "ß")] == ["GB", "GB", "", "ß"]
