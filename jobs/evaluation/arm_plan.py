"""Which arms an evaluation ranks, checked against what was trained, embedded and is live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.config.params.arms import CHAMPION_ARM, RERANKED
from jobs.errors import BadInput, MissingInput
from jobs.evaluation.scorers import _STAGE, BASELINES
from jobs.evaluation.splits import protocol_of, ranked_searches
from jobs.lake.manifest import Manifest

NO_CHAMPION = "no champion yet"


@dataclass(frozen=True)
class Plan:
    """Which arms are to be there, and whether the live model may be compared; all taken from facts."""

    models: tuple[str, ...]
    uses_country: dict[str, bool]
    challenger: str
    champion_version: str | None
    champion_note: str
    reranker_note: str  # why the reranked arm is left out; empty if it is there
    protocol: str
    max_ranked_searches: int | None

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
        trained, champion = inputs["search_models"].facts, inputs["champion"].facts
        models = sorted(trained["arms"])
        if trained["challenger"] not in models:
            raise BadInput(
                "arm_not_trained",
                f"the challenger {trained['challenger']!r} is not among the trained arms {models}",
                arm=trained["challenger"],
            )
        version, note = champion["version"], NO_CHAMPION
        if version is not None:
            note = champion_left_out(champion, datetime.fromisoformat(inputs["splits"].facts["validation_end"]))
            models += [] if note else [CHAMPION_ARM]
        for arm in models:
            check_arm(inputs, arm)
        embedded = inputs["query_embeddings"].facts["arms"]
        uses_country = {arm: bool(embedded[arm]["uses_country"]) for arm in models}
        return cls(
            models=tuple(models),
            uses_country=uses_country,
            challenger=trained["challenger"],
            champion_version=None if note else str(version),
            champion_note=note,
            reranker_note=str(inputs["reranker"].facts["note"]),
            protocol=protocol_of(inputs["splits"]),
            max_ranked_searches=ranked_searches(inputs["splits"]),
        )


def check_arm(inputs: dict[str, Manifest], arm: str) -> None:
    """Check that an arm's photos and queries were embedded, and by the model that was trained or is live."""
    digests = {}
    for dataset, stage in _STAGE.items():
        arms = inputs[dataset].facts["arms"]
        if arm not in arms:
            raise MissingInput(
                "arm_not_embedded",
                f"{inputs[dataset].reference} has no vectors of arm {arm!r}; it has {sorted(arms)}. Every arm must be "
                f"there: rerun {stage}.",
                dataset=dataset,
                run=inputs[dataset].reference,
                arm=arm,
            )
        digests[dataset] = arms[arm]["model_digest"]
    if arm == CHAMPION_ARM:
        digests["champion"] = inputs["champion"].facts["model_digest"]
    else:
        digests["search_models"] = inputs["search_models"].facts["arms"][arm]["model_digest"]
    if len(set(digests.values())) > 1:
        raise BadInput(
            "vectors_of_other_model",
            f"arm {arm!r}: vectors and model do not match: {digests}. Rerun {' and '.join(_STAGE.values())}.",
            arm=arm,
            models=digests,
        )


def champion_left_out(champion: dict[str, str], test_start: datetime) -> str:
    """Return why the champion is left out, or nothing."""
    until = champion.get("trained_until")
    if not until:
        raise BadInput(
            "champion_age_unknown",
            f"champion version {champion['version']} does not say until when it was trained (fact trained_until), "
            f"so it cannot be told whether it has seen the test window. Rerun snapshot_champion.",
            version=champion["version"],
        )
    if datetime.fromisoformat(until) <= test_start:
        return ""
    return (
        f"champion version {champion['version']} was trained until {until}, inside the test window that starts "
        f"{test_start.isoformat()}: it has seen answers, so it is left out"
    )
