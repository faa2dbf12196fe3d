"""Which photos are like this one: every arm by every ground truth, what each measures, and what people would see."""

from __future__ import annotations

from typing import Any

from jobs.config.params.evaluation import TRUTHS
from jobs.datasets.evaluation import SIMILAR, SimilarFacts
from jobs.report.inputs import Night
from jobs.report.names import SIMILAR_METRICS, similar_arm
from jobs.report.names import TRUTHS as WORDS
from jobs.report.photos import photos_of
from jobs.report.tables import CUTOFFS, PRIMARY_K, SCORE, arms_chart, by_key, column, difference, side_by_side

PRIMARY = "ndcg"


def similar(night: Night) -> dict[str, Any]:
    """Return the section; the facts have a note if all of it is left out."""
    facts = night.facts(SimilarFacts)
    if facts.note:
        return {"facts": facts}
    return {
        "facts": facts,
        "params": night.manifest(SIMILAR).params,
        "arms": [similar_arm(key) for key in facts.arms],
        "headings": [f"{name}@{PRIMARY_K}" for name, _ in SIMILAR_METRICS.values()],
        "truths": [_truth(night, key, facts) for key in TRUTHS if key in facts.truths],
        "marks": [WORDS[key] for key in TRUTHS if key in facts.truths],
        "sheet_by": next((WORDS[key]["name"] for key, truth in facts.truths.items() if truth.query_count), None),
        "examples": _examples(night),
    }


def _truth(night: Night, key: str, facts: SimilarFacts) -> dict[str, Any]:
    """Return one ground truth; where nothing was measured by it there are no figures."""
    found = by_key(night.table(SIMILAR, "metrics").filter(truth=key), "arm", "metric", "k")
    compared = by_key(night.table(SIMILAR, "comparisons").filter(truth=key), "baseline", "metric", "k")
    arms = [similar_arm(arm) for arm in facts.arms if (arm, PRIMARY, PRIMARY_K) in found]
    name = WORDS[key]["name"]

    def cells(metric: str, k: int) -> Any:
        return column([found[one.key, metric, k] for one in arms])

    figures = [cells(metric, PRIMARY_K) for metric in SIMILAR_METRICS]
    told = [one for one in arms if key == "keywords" and one.key in facts.reads_keywords]
    return {
        "key": key,
        "name": name,
        "groups": WORDS[key]["groups"],
        "facts": facts.truths[key],
        "told": told,
        "has_by_file": any(one.key == "challenger_by_file" for one in arms),
        "lines": [
            {
                "arm": one,
                "is_told": one in told,
                "cells": own,
                "difference": difference(compared.get((one.key, PRIMARY, PRIMARY_K))),
            }
            for one, own in zip(arms, zip(*figures, strict=True), strict=True)
        ],
        "chart": arms_chart(
            f"similar-{key.replace('_', '-')}",
            f"nDCG@10 of similar photos, {name.lower()}",
            [(one, found[one.key, PRIMARY, PRIMARY_K]) for one in arms],
            facts.challenger,
            spelling=SCORE,
        )
        if arms
        else None,
        "deep_tables": [
            side_by_side(
                arms,
                {f"@{k}": cells(metric, k) for k in CUTOFFS},
                name=title,
                meaning=meaning,
                title=f"{title} of similar photos, {name.lower()}",
            )
            for metric, (title, meaning) in SIMILAR_METRICS.items()
            if arms
        ],
    }


def _examples(night: Night) -> list[dict[str, Any]]:
    """Return photos, each with what every arm finds for it, and by which truths that is an answer."""
    sheet = night.table(SIMILAR, "contact_sheet")
    photos = photos_of(night, {*sheet["photo_id"], *sheet["query_photo_id"]})
    arms = [arm for arm in night.facts(SimilarFacts).arms if arm in set(sheet["arm"])]
    return [
        {
            "photo": photos[str(query)],
            "rankings": [
                (
                    similar_arm(arm),
                    [
                        row | {"photo": photos[row["photo_id"]], "marks": [WORDS[key]["mark"] for key in row["truths"]]}
                        for row in rows.filter(arm=arm).sort("position").iter_rows(named=True)
                    ],
                )
                for arm in arms
            ],
        }
        for (query,), rows in sheet.group_by("query_photo_id", maintain_order=True)
    ]
