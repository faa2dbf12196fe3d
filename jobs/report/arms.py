"""The ranking methods ("arms") as people read them: a name, a line of explanation, a place in the order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.config.params.arms import CHAMPION_ARM, FINETUNED, FULL, RERANKED, TRENDING, ZERO_SHOT
from jobs.errors import BadInput
from jobs.report.charts import Shape


@dataclass(frozen=True)
class Arm:
    """One arm. `key` is its name in the datasets; `is_counting` tells the ones without a neural model."""

    key: str
    name: str
    explanation: str
    is_counting: bool = False

    @property
    def shape(self) -> Shape:
        """Its mark in charts that show every arm once."""
        return "diamond" if self.is_counting else "circle"

    @property
    def css(self) -> str:
        """Class of the style sheet that gives the arm its colour, the same in every chart."""
        return f"arm-{self.key.replace('_', '-')}"


_ALL = (
    Arm("popularity", "Popularity", "One list for every query: the photos converted most so far.", True),
    Arm("keyword_bm25", "Keyword match (BM25)", "Words of the query looked up in the photos' keywords.", True),
    Arm(
        "most_converted_for_query",
        "Most converted for the query",
        "The photos converted most for this very query so far; after those, by popularity.",
        True,
    ),
    Arm(ZERO_SHOT, "Zero-shot base", "The base model as it is, before any training on conversions."),
    Arm(FINETUNED, "Fine-tuned", "The base model trained on past conversions: the query's words and the picture."),
    Arm("finetuned_country", "Fine-tuned + country", "Fine-tuned and told the country of the search, but no keywords."),
    Arm("finetuned_keywords", "Fine-tuned + keywords", "Fine-tuned and told the photo's keywords, but no country."),
    Arm(
        FULL,
        "Fine-tuned + country + keywords",
        "The same training, but the model is also told the country of the search (“GB: cat”) and the photo's keywords.",
    ),
    Arm(
        TRENDING,
        "Trending",
        "The challenger's scores with the last days' conversions mixed in; it alone knows those before each search.",
    ),
    Arm(
        RERANKED,
        "Reranked",
        "The challenger's best photos, reordered by models, words and past conversions together; new photos included.",
    ),
    Arm(CHAMPION_ARM, "Champion", "The model that is live now."),
)
ARMS = {arm.key: arm for arm in _ALL}


def arm(key: str) -> Arm:
    """Return the arm of that key; `BadInput` if the report does not know how to call it."""
    if key not in ARMS:
        raise BadInput(
            "no_name_in_report",
            f"the report has no name for arm {key!r}; it knows {sorted(ARMS)}. Describe it in {__name__}.",
            key=key,
        )
    return ARMS[key]


def in_order(keys: Iterable[str]) -> list[Arm]:
    """Return the arms of these keys in the order of the report: counting first, then models, the champion last."""
    places = list(ARMS)
    return sorted((arm(key) for key in set(keys)), key=lambda one: places.index(one.key))
