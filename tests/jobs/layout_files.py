"""A small data set in the Unsplash layout for tests: good rows, bad rows, and what is expected of each bad one."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

_HEADERS = {
    "photos": """
        photo_id photo_url photo_image_url photo_submitted_at photo_featured photo_width photo_height
        photo_aspect_ratio photo_description photographer_username photographer_first_name
        photographer_last_name photo_location_country stats_views stats_downloads ai_description blur_hash
    """,
    "keywords": """
        photo_id keyword ai_service_1_confidence ai_service_2_confidence suggested_by_user
        user_suggestion_source suggested_by_ai_service_3 confirmed_by_ai_service_3
    """,
    "conversions": """
        converted_at conversion_type keyword photo_id anonymous_user_id conversion_country device_type
        search_orientation_filter search_ordering position
    """,
    "collections": """
        photo_id collection_id collection_title photo_collected_at collection_type
    """,
    "colors": """
        photo_id hex red green blue keyword coverage score
    """,
    "hidden": """
        photo_id country reason
    """,
    "impressions": """
        shown_at user_id query_id query_photo_id photo_id position interaction country dwell_seconds arm keyword
    """,
}
COLUMNS = {table: tuple(names.split()) for table, names in _HEADERS.items()}
FIRST_DAY = datetime(2025, 12, 1)


def photo_id(number: int) -> str:
    return f"photo{number:06d}"


def visitor(number: int) -> str:
    return str(uuid.UUID(int=number + (7 << 100)))


class LayoutFiles:
    """Rows of every table, one file each. `expected` has the reasons of bad rows, `repairs` those of mended ones."""

    def __init__(self, photo_count: int = 30, days: int = 3, conversions_per_day: int = 60) -> None:
        self.lines: dict[str, list[bytes]] = {
            table: ["\t".join(columns).encode() + b"\n"] for table, columns in COLUMNS.items()
        }
        self.expected: dict[str, dict[tuple[int, int], list[str]]] = defaultdict(dict)
        self.repairs: dict[str, dict[int, str]] = defaultdict(dict)
        self.good: dict[str, list[int]] = defaultdict(list)
        self._added: dict[str, int] = defaultdict(int)
        for _ in range(photo_count):
            self.add("photos")
        for _ in range(photo_count):
            for table in ("keywords", "collections", "colors", "hidden", "impressions"):
                self.add(table)
        for number in range(days * conversions_per_day):
            at = FIRST_DAY + timedelta(days=number // conversions_per_day, seconds=60 * (number % conversions_per_day))
            self.add("conversions", converted_at=at.isoformat(" "))

    def row(self, table: str, **changes: str) -> list[str]:
        """Return the values of a good row, with some of them changed."""
        number = self._added[table]
        values = {
            "photo_id": photo_id(number if table == "photos" else number % 30),
            "photo_image_url": f"https://images.invalid/{number}.png",
            "photo_submitted_at": (datetime(2025, 10, 1) + timedelta(days=number)).isoformat(" "),
            "photo_featured": "f",
            "photo_width": "72",
            "photo_height": "48",
            "photo_description": f"photo {number}",
            "photographer_username": "ann",
            "stats_views": "10",
            "stats_downloads": "3",
            "keyword": {"keywords": f"word {number}", "conversions": "Grün  Haus", "colors": "white"}.get(table, ""),
            "ai_service_1_confidence": "97.5",
            "ai_service_2_confidence": "40.25",
            "suggested_by_user": "f",
            "converted_at": "2025-12-02 12:00:00.25",
            "conversion_type": "download",
            "anonymous_user_id": visitor(number),
            "conversion_country": "NA",
            "device_type": "mobile",
            "search_orientation_filter": "all",
            "search_ordering": "popular",
            "position": str(1 + number % 40),
            "collection_id": f"c{number}",
            "collection_title": "Things",
            "photo_collected_at": "2025-12-01 10:00:00.5",
            "collection_type": "topic",
            "hex": f"{number:06X}",
            "red": "0",
            "green": "10",
            "blue": "255",
            "coverage": "12.5",
            "score": "0.25",
            "country": ("", "DE", "fr")[(number + number // 30) % 3] if table == "hidden" else "DE",
            "reason": "removed",
            "shown_at": f"2025-12-02 08:{number % 60:02}:00",
            "user_id": visitor(number),
            "query_id": visitor(70_000 + number // 3),
            "interaction": ("", "click")[number % 2],
            "dwell_seconds": "4.5",
            "arm": "current",
        }
        unknown = set(changes) - set(COLUMNS[table])
        assert not unknown, f"no column {unknown}"
        return [(values | changes).get(column, "") for column in COLUMNS[table]]

    def add(self, table: str, *reasons: str, repair: str = "", **changes: str) -> None:
        """Add a row: good, repaired, or bad for `reasons`."""
        raw = "\t".join(self.row(table, **changes)).encode()
        self.add_raw(table, raw, *reasons, repair=repair)

    def add_raw(self, table: str, raw: bytes, *reasons: str, repair: str = "") -> None:
        """Add a record as bytes without its last line feed."""
        line, line_count = 1 + b"".join(self.lines[table]).count(b"\n"), 1 + raw.count(b"\n")
        self.lines[table].append(raw + b"\n")
        self._added[table] += 1
        if reasons:
            self.expected[table][line, line_count] = sorted(reasons)
        else:
            self.good[table].append(line)
        if repair:
            self.repairs[table][line] = repair

    def data(self, table: str) -> bytes:
        return b"".join(self.lines[table])

    def line_count(self, table: str) -> int:
        return self.data(table).count(b"\n") - 1

    def record_count(self, table: str) -> int:
        return len(self.lines[table]) - 1

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for table in self.lines:
            (folder / f"{table}.tsv000").write_bytes(self.data(table))
        return folder


def add_conversion_faults(files: LayoutFiles) -> None:
    """Add every kind of fault a conversion log has been seen with, and the ones that are repaired."""

    def bad(reason: str, **changes: str) -> None:
        files.add("conversions", reason, **changes)

    def raw(changed: bytes, *reasons: str, repair: str = "") -> None:
        files.add_raw("conversions", changed, *reasons, repair=repair)

    def line(**changes: str) -> bytes:
        return "\t".join(files.row("conversions", **changes)).encode()

    for column, reason in (
        ("converted_at", "null_converted_at"),
        ("conversion_type", "unknown_conversion_type"),
        ("keyword", "null_keyword"),
        ("photo_id", "null_photo_id"),
        ("anonymous_user_id", "null_user_id"),
        ("conversion_country", "null_country"),
    ):
        bad(reason, **{column: ""})
    times = ("yesterday", "2025-12-29T", "0000-00-00 00:00:00", "2025-13-45 99:10:00", "2025-12-02 10:11:12 PM", "NaT")
    for text in (*times, "17670030001"):
        bad("malformed_timestamp", converted_at=text)
    for text in ("2025-12-02T10:11+0100", "1764670272123", "20251202T101112Z"):
        files.add("conversions", converted_at=text)
    for text in ("GER", "1", "ZZ", "??", "U$", "NULL"):
        bad("bad_country", conversion_country=text)
    for text in (" ", "\u00a0", "\u3000\u3164", "\u200b"):
        bad("blank_keyword", keyword=text)
    for text in ("a\x07b", "a\x1b[31mb", "a\x08b", "r\u202eight", "a\rb"):
        bad("control_characters", keyword=text)
    for text in ("00000000000 ", " 0000000000", "photo\u200b00001", "x" * 129, "x" * 4096):
        bad("malformed_photo_id", photo_id=text)
    for text in ("nobodyhasit", "short", "photo0000000", "../../etc", "/etc/passwd", "null"):
        bad("unknown_photo_id", photo_id=text)
    bad("quarantined_photo", photo_id="photo_badid")
    bad("before_photo_was_submitted", converted_at="2025-10-01 12:00:00", photo_id=photo_id(5))
    bad("future_timestamp", converted_at="2034-05-11 08:00:00.5")
    bad("overlong_keyword", keyword="way " * 300)
    bad("misplaced_user_id", keyword=visitor(991))
    files.add("conversions", "bad_country", "misplaced_user_id", "null_user_id", **_shifted_visitor())
    files.add(
        "conversions", "bad_country", "null_keyword", "null_photo_id", conversion_country="x", keyword="", photo_id=""
    )
    files.add("conversions")
    raw(files.lines["conversions"][-1][:-1], "duplicate_row")
    for number in range(70):
        at = (datetime(2025, 12, 3, 20, 0, 5) + timedelta(seconds=0.8 * number)).isoformat(" ")
        bad("bot_burst", converted_at=at, anonymous_user_id=visitor(5000))
    raw(b"", "blank_line")
    raw(line(keyword="a b").replace(b"a b", b"a\x00b"), "embedded_nul")
    for broken in (b"fa\xe7ade", b"\xe9\xa1", b"ok\xff\xfe", "мяч".encode("cp1251")):
        raw(line(keyword="WORD").replace(b"WORD", broken), "invalid_utf8")
    raw(line(keyword="school\tschool"), "embedded_tab")
    raw(line(keyword="persevering\tpersevering"), "embedded_tab")
    raw(line() + b"\textra", "too_many_columns")
    raw(line() + b"\textra\textra", "too_many_columns")
    raw(b"\t".join(line().split(b"\t")[:4]), "too_few_columns")
    raw(b"2025-12-02 12:00:00\tdownload", "too_few_columns")
    raw(line(keyword="face\nface"), "embedded_newline")
    raw(line(keyword="a\nb\nc"), "embedded_newline")
    raw(line(keyword='"rocket'), "unbalanced_quote")
    raw(line(keyword='"rocket'), "unbalanced_quote")
    raw(line(keyword='"rock"et'), "unbalanced_quote")
    raw(line() + b"\r", repair="carriage_return")
    raw(line(keyword='"dia\nmond"'), repair="quoted_newline")
    raw(line(keyword='"a ""very"" long\nquoted\nquery"'), repair="quoted_newline")
    raw(line(keyword='"one\ttab"'), repair="quoted_tab")
    files.add("conversions", repair="lowercase_country", conversion_country="us")
    for text in ("0", "-1", "third", "2.5"):  # warned of only: the rows go on without it
        files.add("conversions", position=text)
    files.add("conversions", position="")
    for text in ("view", "Download", "it's"):  # names that nobody said are the site's: warned of only
        files.add("conversions", conversion_type=text)
    files.add("conversions", device_type="fridge")
    files.add("conversions", search_orientation_filter="diagonal")
    files.add("conversions", search_ordering="random")
    files.add("conversions", keyword='say "hi"')
    files.add("conversions")


def _shifted_visitor() -> dict[str, str]:
    return {"anonymous_user_id": "", "conversion_country": visitor(992)}


def add_other_faults(files: LayoutFiles) -> None:
    """Add to every other table one row per expectation of its suite that fails that expectation."""
    add = files.add
    hostile = ("x" * 129, "x" * 4096, "photo\u202e0001 ", "photo00000\u00e9 ")
    add("photos", "null_photo_id", photo_id="")
    for text in hostile:
        add("photos", "malformed_photo_id", photo_id=text)
    add("photos", "repeated_photo_id", photo_id=photo_id(3))
    add("photos", "null_submitted_at", photo_submitted_at="")
    add("photos", "malformed_timestamp", photo_id="photo_badid", photo_submitted_at="last year")
    add("photos", "future_timestamp", photo_submitted_at="2034-01-01 00:00:00")
    add("photos", "malformed_number", stats_views="many")
    add("photos", "malformed_flag", photo_featured="perhaps")
    add("photos", "impossible_size", photo_width="0")
    add("photos", "impossible_size", photo_height="-3")
    add("photos", "negative_count", stats_views="-1")
    add("photos", "negative_count", stats_downloads="-1")
    add("photos", "control_characters", photo_description="a\x07b")
    for table in ("keywords", "collections", "colors", "hidden", "impressions"):
        add(table, "null_photo_id", photo_id="")
        for text in hostile:
            add(table, "malformed_photo_id", photo_id=text)
    for table in ("keywords", "collections", "colors", "impressions"):
        add(table, "unknown_photo_id", photo_id="nobodyhasit")
        add(table, "quarantined_photo", photo_id="photo_badid")
    for table, column in (
        ("photos", "photo_description"),
        ("keywords", "keyword"),
        ("collections", "collection_title"),
        ("colors", "keyword"),
        ("hidden", "reason"),
        ("impressions", "keyword"),
    ):
        word = "\t".join(files.row(table, **{column: "WORD"})).encode()
        files.add_raw(table, word.replace(b"WORD", b"a\x00b"), "embedded_nul")
        word = "\t".join(files.row(table, **{column: "WORD"})).encode()
        files.add_raw(table, word.replace(b"WORD", b"fa\xe7ade"), "invalid_utf8")
        files.add_raw(table, b"", "blank_line")
        files.add_raw(table, b"\t" * (len(COLUMNS[table]) + 1), "too_many_columns")
    for table, reason in (
        ("photos", "repeated_photo_id"),
        ("keywords", "repeated_keyword"),
        ("collections", "repeated_membership"),
        ("colors", "repeated_color"),
        ("hidden", "repeated_rule"),
        ("impressions", "repeated_impression"),
    ):
        add(table)
        files.add_raw(table, files.lines[table][-1][:-1], "duplicate_row", reason)
    add("keywords", "null_keyword", keyword="")
    add("keywords", "blank_keyword", keyword="\u3000")
    add("keywords", "overlong_keyword", keyword="long" * 65)
    add("keywords", "control_characters", keyword="a\x1bb")
    add("keywords", "malformed_number", ai_service_1_confidence="high")
    add("keywords", "confidence_out_of_range", ai_service_2_confidence="-1")
    add("keywords", "confidence_out_of_range", ai_service_1_confidence="101")
    add("keywords", "confidence_out_of_range", ai_service_1_confidence="NaN")
    add("keywords", "malformed_flag", suggested_by_user="yes!")
    add("keywords", "repeated_keyword", photo_id=photo_id(2), keyword=" WORD 2", ai_service_1_confidence="50")
    add("collections", "null_collection_id", collection_id="")
    add("collections", "malformed_timestamp", photo_collected_at="December")
    add("collections", "future_timestamp", photo_collected_at="2034-01-01 00:00:00")
    add("collections", "control_characters", collection_title="a\x07b")
    add("colors", "null_hex", hex="")
    add("colors", "malformed_hex", hex="#FFFFFF")
    add("colors", "malformed_number", red="red")
    add("colors", "channel_out_of_range", blue="256")
    add("colors", "channel_out_of_range", red="-1")
    add("colors", "coverage_out_of_range", coverage="100.1")
    add("colors", "score_out_of_range", score="1.5")
    add_impression_faults(files)
    # Warned of only: the rows go on.
    add("collections", collection_type="album")
    add("hidden", photo_id="nobodyhasit")
    for text in ("GER", "1", "everywhere"):
        add("hidden", country=text, photo_id=f"hidden-in{text[:2]:_<2}")
    for number in range(3):
        add("photos", photo_image_url="")
        add("photos", photo_image_url=f"ftp://images.invalid/{number}.png")


def add_impression_faults(files: LayoutFiles) -> None:
    """Add faults that only the log of what was shown can have, and what looks like one."""
    for reason, column, values in (
        ("null_shown_at", "shown_at", ("",)),
        ("malformed_timestamp", "shown_at", ("today", "17670030001")),
        ("future_timestamp", "shown_at", ("2034-01-01 00:00:00",)),
        ("before_photo_was_submitted", "shown_at", ("2025-09-30 23:59:59",)),
        ("null_user_id", "user_id", ("",)),
        ("misplaced_user_id", "keyword", (visitor(993),)),
        ("malformed_query_photo_id", "query_photo_id", ("x" * 129, "photo000001 ")),
        ("null_position", "position", ("",)),
        ("malformed_position", "position", ("0", "-1", "first", "1.5")),
        ("unknown_interaction", "interaction", ("bought", "Click")),
        ("malformed_number", "dwell_seconds", ("long",)),
        ("dwell_out_of_range", "dwell_seconds", ("-0.5", "86401", "NaN")),
        ("bad_country", "country", ("GER", "ZZ")),
        ("malformed_arm", "arm", ("z" * 65, "a/b")),
        ("overlong_keyword", "keyword", ("way " * 300,)),
        ("control_characters", "keyword", ("a\x07b",)),
    ):
        for text in values:
            files.add("impressions", reason, **{column: text})
    files.add("impressions", "quarantined_photo", photo_id="photo_badid")
    files.add("impressions", "no_query", query_id="")
    same = {"user_id": visitor(994), "query_id": "s1", "photo_id": photo_id(1), "position": "1"}
    files.add("impressions", interaction="", **same)
    files.add("impressions", interaction="click", **same)
    files.add("impressions", "repeated_impression", interaction="click", dwell_seconds="9", **same)
    files.add("impressions", query_id="", query_photo_id=photo_id(2))
    files.add("impressions", repair="lowercase_country", country="de")
    files.add("impressions", country="", dwell_seconds="", arm="", keyword="", position="3.0")
