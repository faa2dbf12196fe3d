"""Which arms an evaluation ranks, checked against what was trained, embedded and is live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from jobs.config.params.arms import CHAMPION_ARM, RERANKED
from jobs.datasets.embeddings import EmbeddedArm, PhotoEmbeddingsFacts, QueryEmbeddingsFacts
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import ChampionFacts, LiveModel, LiveReranker, RerankerFacts, SearchModelsFacts
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.ranked_arm import BASELINES
from jobs.lake.manifest import Manifest

_STAGE = {"photo_embeddings": "embed_photos", "query_embeddings": "embed_queries"}


@dataclass(frozen=True)
class Champion:
    """The live model, if it may be compared; else `note` says why not, and all else is None."""

    version: int | None = None
    model_digest: str | None = None
    note: str = ""

    @classmethod
    def of(cls, champion: Manifest, test_start: datetime) -> Champion:
        """Return the champion of a night; nothing of the test window may have trained it or chosen its weights."""
        live = ChampionFacts.of(champion).live
        if live is None:
            return cls(note="no champion yet")
        if live.selected_until is None:
            return cls(
                note=f"champion version {live.version} does not say on which conversions its weights were chosen, and "
                "its night is gone: it may have seen answers, so it is left out"
            )
        for what, until in (("trained", live.trained_until), ("chosen by conversions", live.selected_until)):
            if until > test_start:
                return cls(
                    note=f"champion version {live.version} was {what} until {until.isoformat()}, inside the test "
                    f"window that starts {test_start.isoformat()}: it has seen answers, so it is left out"
                )
        return cls(live.version, live.model_digest)


@dataclass(frozen=True)
class Plan:
    """Which arms are to be there, and whether the live search may be compared; all taken from facts.

    The candidate's search finds by the vectors of `base_arm`. The champion is compared as a whole: with its reranker if
    it has one.
    """

    models: tuple[str, ...]
    uses_country: dict[str, bool]
    base_arm: str
    champion_reranker: LiveReranker | None
    champion_version: int | None
    champion_note: str
    reranker_note: str  # why the reranked arm is left out; empty if it is there
    protocol: str

    @property
    def challenger(self) -> str:
        """The arm that is what a release of this night would show."""
        return self.base_arm if self.reranker_note else RERANKED

    @property
    def whole_searches(self) -> tuple[str, ...]:
        """The arms that are whole searches; all others score every photo."""
        mine = () if self.reranker_note else (RERANKED,)
        return (*mine, *(() if self.champion_reranker is None else (CHAMPION_ARM,)))

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm, baselines first, the reranked one last."""
        return (*BASELINES, *self.models, *(() if self.reranker_note else (RERANKED,)))

    @classmethod
    def of(cls, inputs: dict[str, Manifest]) -> Plan:
        """Return the plan of a night.

        Raises `MissingInput` for an arm that was trained but not embedded, `BadInput` for one whose vectors come
        from another model than the one trained.
        """
        trained, splits = SearchModelsFacts.of(inputs["search_models"]), SplitsFacts.of(inputs["splits"])
        test_start = splits.windows["test"][0]
        models = sorted(trained.arms)
        if trained.challenger not in models:
            raise BadInput(
                "arm_not_trained",
                f"the challenger {trained.challenger!r} is not among the trained arms {models}",
                arm=trained.challenger,
            )
        champion = Champion.of(inputs["champion"], test_start)
        live = ChampionFacts.of(inputs["champion"]).live
        note = champion.note or _search_note(live, test_start)
        models += [] if note else [CHAMPION_ARM]
        for arm in models:
            check_arm(inputs, arm)
        embedded = QueryEmbeddingsFacts.of(inputs["query_embeddings"]).arms
        return cls(
            models=tuple(models),
            uses_country={arm: embedded[arm].uses_country for arm in models},
            base_arm=trained.challenger,
            champion_reranker=None if note or live is None else live.reranker,
            champion_version=None if note else champion.version,
            champion_note=note,
            reranker_note=RerankerFacts.of(inputs["reranker"]).note,
            protocol=splits.protocol,
        )


def _search_note(live: LiveModel | None, test_start: datetime) -> str:
    """Return why the search that is live may not be compared although its model may; empty if it may."""
    if live is None:
        return ""
    if live.reranker_note:
        return f"the search of champion version {live.version} cannot be made again: {live.reranker_note}"
    if live.reranker is not None and live.reranker.trained_until > test_start:
        return (
            f"the reranker of champion version {live.version} learned until {live.reranker.trained_until.isoformat()}, "
            f"inside the test window that starts {test_start.isoformat()}: it has seen answers, so it is left out"
        )
    return ""


def check_arm(inputs: dict[str, Manifest], arm: str) -> None:
    """Check that an arm's photos and queries were embedded, and by the model that was trained or is live."""
    digests = {}
    embedded: dict[str, Mapping[str, EmbeddedArm]] = {
        "photo_embeddings": PhotoEmbeddingsFacts.of(inputs["photo_embeddings"]).arms,
        "query_embeddings": QueryEmbeddingsFacts.of(inputs["query_embeddings"]).arms,
    }
    for dataset, arms in embedded.items():
        if arm not in arms:
            raise MissingInput(
                "arm_not_embedded",
                f"{inputs[dataset].reference} has no vectors of arm {arm!r}; it has {sorted(arms)}. Every arm must be "
                f"there: rerun {_STAGE[dataset]}.",
                dataset=dataset,
                run=inputs[dataset].reference,
                arm=arm,
            )
        digests[dataset] = arms[arm].model_digest
    live = ChampionFacts.of(inputs["champion"]).live if arm == CHAMPION_ARM else None
    if live is not None:
        digests["champion"] = live.model_digest
    else:
        digests["search_models"] = SearchModelsFacts.of(inputs["search_models"]).arms[arm].model_digest
    if len(set(digests.values())) > 1:
        raise BadInput(
            "vectors_of_other_model",
            f"arm {arm!r}: vectors and model do not match: {digests}. Rerun {' and '.join(_STAGE.values())}.",
            arm=arm,
            models=digests,
        )
