"""The model card: what a registered version says of itself, in the Markdown that MLflow shows as its description."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobs.context import RunContext
from jobs.lake import Manifest
from jobs.params import ZERO_SHOT

MAX_LENGTH = 5000
"""What MLflow's database keeps of a description."""


@dataclass(frozen=True)
class ModelFacts:
    """What the card says of the model itself."""

    arm: str
    digest: str
    origin: str
    image_size: int
    dim: int
    parameter_count: int
    uses_country: bool
    uses_keywords: bool
    trained_until: str


def model_card(
    ctx: RunContext,
    model: ModelFacts,
    splits: Manifest,
    base_model: Manifest,
    search_models: Manifest,
) -> str:
    """Return the card of a model, from the runs it came out of."""
    parts = [
        f"# Search model of {ctx.catalogue}, {ctx.run_date}",
        _purpose(model),
        _table(("Model", ""), _model_rows(model)),
        "## How to use it",
        _usage(model, ctx.catalogue),
        "## Training data",
        _table(("Window (UTC, end not included)", "From", "To", "Distinct conversions"), _window_rows(splits)),
        f"Trained until {model.trained_until}. Corpus: {splits.row_counts['photos']:,} photos, "
        f"{splits.row_counts['photo_keywords']:,} keyword entries. Visitors are keyed pseudonyms.",
        "## Training",
        _table(("Parameter", "Base", "Fine-tuning"), _param_rows(base_model.params, search_models.params)),
        "## Result on the validation window",
        _table(("Arm", "Hit rate@10"), _result_rows(search_models)),
        "Early stopping looked at these numbers, so they flatter the model. The test window's metrics, with "
        "intervals and the counting baselines, are in the run (metrics `test/...`, artifact `report/report.html`).",
        "## Limits",
        _limits(model),
        "## Licence",
        f"The weights start from `{model.origin}` and learn from the catalogue's photos and log: the terms of both "
        f"hold for this model. The code that is packed with it is under the Apache Licence 2.0.",
        f"Lake run `{search_models.reference}`, code `{ctx.code_version}`, git `{ctx.git_version}`.",
    ]
    card = "\n\n".join(parts)
    if len(card) > MAX_LENGTH:
        raise ValueError(f"the model card has {len(card)} characters, MLflow keeps {MAX_LENGTH}")
    return card


def _purpose(model: ModelFacts) -> str:
    query = "a query and the visitor's country" if model.uses_country else "a query"
    photo = "a photo and its keywords" if model.uses_keywords else "a photo"
    learned = (
        "the base as it is, before it saw a conversion"
        if model.arm == ZERO_SHOT
        else "SigLIP towers fine-tuned on which photo visitors took after which query"
    )
    return (
        f"Embeds {query} and {photo} as unit vectors; the dot product ranks photos for the query. "
        f"Arm `{model.arm}`: {learned}."
    )


def _model_rows(model: ModelFacts) -> list[tuple[str, str]]:
    return [
        ("Digest", f"`{model.digest}`"),
        ("Base", f"`{model.origin}`"),
        ("Parameters", f"{model.parameter_count:,}"),
        ("Input", f"{model.image_size} x {model.image_size} pixels; text, byte-level or the base's own tokenizer"),
        ("Output", f"float32 vector of {model.dim}, length 1"),
        ("Country in the query", "yes" if model.uses_country else "no"),
        ("Keywords in the photo", "yes" if model.uses_keywords else "no"),
    ]


def _usage(model: ModelFacts, catalogue: str) -> str:
    return (
        f"`mlflow.pyfunc.load_model('models:/nightlens-{catalogue}@champion').predict(table)`, where a row is a query "
        f"(`query`, perhaps `country`) or a photo (`image`: the file's bytes, perhaps `keywords`). "
        f"Never compare vectors of two versions."
    )


def _window_rows(splits: Manifest) -> list[tuple[str, ...]]:
    bounds = ("train_start", "train_end", "validation_end", "test_end")
    dates = [str(splits.facts[name])[:10] for name in bounds]
    names = ("train", "validation", "test")
    return [(name, dates[place], dates[place + 1], f"{splits.row_counts[name]:,}") for place, name in enumerate(names)]


def _param_rows(base: dict[str, Any], search: dict[str, Any]) -> list[tuple[str, ...]]:
    names = list(dict.fromkeys([*base, *search]))
    return [(name, _plain(base.get(name)), _plain(search.get(name))) for name in names]


def _result_rows(search_models: Manifest) -> list[tuple[str, ...]]:
    arms = search_models.facts["arms"].items()
    return [(arm, f"{facts['best_validation_hit_rate']:.4f}") for arm, facts in arms]


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _limits(model: ModelFacts) -> str:
    return "\n".join(
        [
            "- It has learned what visitors of this catalogue chose, with their biases of taste, language and region.",
            "- Queries and photos unlike those of the training window rest on the base alone.",
            "- A score orders photos for one query; it is no probability and not comparable between queries.",
            "- Not for recognising or judging people.",
            *(["- A photo without keywords loses what they would have added."] if model.uses_keywords else []),
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
