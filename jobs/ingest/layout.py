"""The Unsplash layout: which tables and columns there are. Where their rows lie is `jobs.ingest.source`'s."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column that is read: the name used here, other names it had, and what the reader makes of it."""

    name: str
    aliases: tuple[str, ...] = ()
    is_required: bool = False
    normal_form: str | None = None  # a further column with the text's normal form
    pseudonym: str | None = None  # the column that takes its place, holding a keyed pseudonym
    is_key: bool = False  # only tells rows apart: a keyed digest takes the value's place, as it may be a visitor's id
    is_photo: bool = False  # holds ids of photos
    is_time: bool = False  # a further column <name>_read holds the time that the text names, in UTC

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the column may stand in a header."""
        return (self.name, *self.aliases)


@dataclass(frozen=True)
class TableLayout:
    """One table of the layout. A table that is not required may be absent; its rows are then none."""

    name: str
    columns: tuple[Column, ...]
    is_required: bool = False

    @property
    def visitor(self) -> Column | None:
        """The column with visitor ids, if the table has one."""
        return next((column for column in self.columns if column.pseudonym), None)


_UNSEEN = (  # Unicode's control, format and private characters, and its separators of lines and paragraphs
    r"\x00-\x1F\x7F-\x9F\xAD\x{600}-\x{605}\x{61C}\x{6DD}\x{70F}\x{890}\x{891}\x{8E2}\x{180E}\x{200B}-\x{200F}"
    r"\x{2028}-\x{202E}\x{2060}-\x{206F}\x{E000}-\x{F8FF}\x{FEFF}\x{FFF0}-\x{FFFB}\x{FFFE}\x{FFFF}\x{110BD}\x{110CD}"
    r"\x{13430}-\x{1343F}\x{1BCA0}-\x{1BCA3}\x{1D173}-\x{1D17A}\x{E0000}-\x{E00FF}\x{F0000}-\x{10FFFF}"
)
PHOTO_ID_PATTERN = rf"\A[^ {_UNSEEN}](?:[^{_UNSEEN}]{{0,126}}[^ {_UNSEEN}])?\z"
"""A photo's id: a site's own text, of 1 to 128 printable characters, without a space around it.

The pattern is in the syntax that Polars, DuckDB and Java share. A character that Unicode has not assigned yet passes:
engines know different versions of Unicode, and each would say otherwise.
"""
PHOTO_ID = Column("photo_id", is_required=True, is_photo=True)


def _columns(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


LAYOUT: dict[str, TableLayout] = {
    table.name: table
    for table in (
        TableLayout(
            "photos",
            (
                PHOTO_ID,
                Column("photo_image_url", is_required=True),
                Column("photo_submitted_at", is_required=True, is_time=True),
                *_columns(
                    "photo_featured",
                    "photo_width",
                    "photo_height",
                    "photo_description",
                    "photographer_username",
                    "photographer_first_name",
                    "photographer_last_name",
                    "photo_location_country",
                    "stats_views",
                    "stats_downloads",
                    "ai_description",
                    "blur_hash",
                ),
            ),
            is_required=True,
        ),
        TableLayout(
            "keywords",
            (
                PHOTO_ID,
                Column("keyword", is_required=True, normal_form="normal_keyword"),
                *_columns("ai_service_1_confidence", "ai_service_2_confidence", "suggested_by_user"),
            ),
        ),
        TableLayout(
            "conversions",
            (
                Column("converted_at", is_required=True, is_time=True),
                Column("conversion_type", is_required=True),
                Column("keyword", is_required=True, normal_form="query"),
                PHOTO_ID,
                Column("anonymous_user_id", is_required=True, pseudonym="visitor_id"),
                Column("conversion_country", is_required=True),
                *_columns("device_type", "search_orientation_filter", "search_ordering"),
                # no release of the data set has it, a log of one's own may
                Column("position", aliases=("search_position", "result_position")),
            ),
            is_required=True,
        ),
        TableLayout(
            "collections",
            (
                PHOTO_ID,
                Column("collection_id", is_required=True),
                Column("collection_title"),
                Column("photo_collected_at", is_time=True),
                Column("collection_type"),
            ),
        ),
        TableLayout(
            "colors",
            (
                PHOTO_ID,
                Column("hex", is_required=True),
                *_columns("red", "green", "blue", "keyword"),
                Column("coverage", aliases=("ai_coverage",)),
                Column("score", aliases=("ai_score",)),
            ),
        ),
        # no release of the data set has it, a site that removes photos may
        TableLayout("hidden", (PHOTO_ID, *_columns("country", "reason"))),
        # nor this, which a site's own log of what it showed may give: a photo in a list a row
        TableLayout(
            "impressions",
            (
                Column("shown_at", aliases=("timestamp",), is_required=True, is_time=True),
                Column("user_id", aliases=("anonymous_user_id",), is_required=True, pseudonym="visitor_id"),
                Column("query_id", is_key=True),
                Column("query_photo_id", is_photo=True),
                PHOTO_ID,
                Column("position", is_required=True),
                Column("interaction", aliases=("interaction_type",)),
                Column("country", aliases=("location", "conversion_country")),
                Column("dwell_seconds", aliases=("dwell",)),
                Column("arm"),
                Column("keyword", normal_form="query"),
            ),
        ),
    )
}

# The columns by which a version of the data set differs from the one before it.
VERSION_MARKS: dict[str, dict[str, tuple[str, ...]]] = {
    "1.1": {"photos": ("photo_description", "photo_width", "photo_height", "photo_aspect_ratio")},
    "1.2": {"photos": ("blur_hash",)},
    "1.3": {"keywords": ("user_suggestion_source",), "collections": ("collection_type",)},
    "1.4": {
        "keywords": ("suggested_by_ai_service_3", "confirmed_by_ai_service_3"),
        "conversions": ("device_type", "search_orientation_filter", "search_ordering"),
    },
}
