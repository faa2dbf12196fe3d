"""The model card: what a registered version says of itself, in the Markdown that MLflow shows as its description."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jobs.adapters.mlflow_registry import DESCRIPTION_LENGTH
from jobs.config.params.arms import ZERO_SHOT
from jobs.context import RunContext
from jobs.datasets.features import SplitsFacts
from jobs.datasets.models import SearchModelsFacts
from jobs.lake.manifest import Manifest
from models.windows import in_words


@dataclass(frozen=True)
class ModelFacts:
    """What the card says of the model itself."""

    arm: str
    digest: str
    origin: str
    image_size: int
    context_length: int
    dim: int
    parameter_count: int
    uses_country: bool
    uses_keywords: bool


def model_card(
    ctx: RunContext, release: str, model: ModelFacts, splits: Manifest, base_model: Manifest, search_models: Manifest
) -> str:
    """Return the card of a release's search and its model, from the runs it came out of.

    It is made of headings, sentences and lists: MLflow shows tables without any space between their columns.
    """
    parts = [
        f"# Search of {ctx.catalogue}, {ctx.run_date}",
        f"The whole search of the release `{release}`: from words to photos in order. It knows the photos, conversions "
        f"and hidden photos of its night.",
        f"Its model: {_purpose(model)}",
        *_results(model, search_models),
        "The test window's metrics, with intervals and the counting baselines, are in the source run: metrics "
        "`test/...`, artifact `report.html`.",
        "## Model",
        _model(model),
        "## How to use it",
        _usage(ctx.catalogue),
        "## Data",
        _data(splits, search_models),
        "## Training",
        f"Base: {_params(base_model)}",
        f"Fine-tuning: {_params(search_models)}",
        "## Limits",
        _limits(model),
        "## Licence",
        f"The weights start from `{model.origin}` and learn from the catalogue's photos and log: the terms of both "
        f"hold for this model. The code that is packed with it is under the Apache Licence 2.0.",
        f"Lake run `{search_models.reference}`, code `{ctx.code_version}`, git `{ctx.git_version}`.",
    ]
    card = "\n\n".join(parts)
    if len(card) > DESCRIPTION_LENGTH:
        raise ValueError(f"the model card has {len(card)} characters, MLflow keeps {DESCRIPTION_LENGTH}")
    return card


def _purpose(model: ModelFacts) -> str:
    query = "a query with the visitor's country" if model.uses_country else "a query"
    photo = "a photo with its keywords" if model.uses_keywords else "a photo"
    learned = (
        "the base as it is, before it saw a conversion"
        if model.arm == ZERO_SHOT
        else "SigLIP towers fine-tuned on which photo visitors took after which query"
    )
    return f"embeds {query}, and {photo}, as unit vectors, whose dot product ranks. Arm `{model.arm}`: {learned}."


def _results(model: ModelFacts, search_models: Manifest) -> list[str]:
    found = {arm: facts.best_validation_hit_rate for arm, facts in SearchModelsFacts.of(search_models).arms.items()}
    rates = {arm: rate for arm, rate in found.items() if rate is not None}
    if not rates:
        return ["## Results", "Nothing was kept aside for validation: the weights are those of the last step."]
    ordered = sorted(rates, key=lambda arm: -rates[arm])
    return [
        "## Hit rate@10 on the validation window",
        _list(f"**{rates[arm]:.4f}** `{arm}`{' (this version)' * (arm == model.arm)}" for arm in ordered),
        "Early stopping looked at these numbers, so they flatter the model.",
    ]


def _model(model: ModelFacts) -> str:
    return _list(
        (
            f"Digest `{model.digest}`, base `{model.origin}`, {model.parameter_count:,} parameters",
            f"Pictures of {model.image_size} x {model.image_size} pixels, "
            f"queries of up to {model.context_length} tokens",
            f"Vectors: float32, {model.dim} numbers, length 1",
            f"Country in the query: {_yes_no(model.uses_country)}. "
            f"Keywords in the photo: {_yes_no(model.uses_keywords)}",
        )
    )


def _usage(catalogue: str) -> str:
    return f"""```python
search = mlflow.pyfunc.load_model("models:/nightlens-{catalogue}@champion")
search.predict(pandas.DataFrame({{"query": ["cat"], "country": ["GB"]}}), params={{"k": 10}})  # photos, scores
search.predict(pandas.DataFrame({{"image": [file_bytes]}}))  # photos like a picture
search.predict(pandas.DataFrame({{"query": ["cat"]}}), params={{"output": "vectors"}})
```

`mlflow models serve -m models:/nightlens-{catalogue}@champion --env-manager local -p 5001` answers them by REST. All
columns but `query` or `image` may be left out. Never compare the vectors or scores of two versions."""


def _data(splits: Manifest, search_models: Manifest) -> str:
    windows = SplitsFacts.of(splits).windows
    return _list(
        (
            *(
                f"{name.capitalize()}: {in_words(start)} up to, not including, {in_words(end)} UTC; "
                f"{splits.row_counts[name]:,} conversions"
                if splits.row_counts[name]
                else f"{name.capitalize()}: nothing kept aside"
                for name, (start, end) in windows.items()
            ),
            *_until(SearchModelsFacts.of(search_models)),
            f"Corpus: {splits.row_counts['photos']:,} photos, {splits.row_counts['photo_keywords']:,} keywords of them",
            "Visitors are keyed pseudonyms; the model does not see them",
        )
    )


def _until(trained: SearchModelsFacts) -> Iterable[str]:
    yield f"No conversion at or after {trained.trained_until.isoformat()} was trained on"
    if trained.selected_until is not None and trained.selected_until > trained.trained_until:
        yield (
            f"Conversions before {trained.selected_until.isoformat()} (validation) decided which weights were kept, so "
            "they are no test of this model"
        )


def _params(run: Manifest) -> str:
    return " ".join(f"`{name}={_plain(value)}`" for name, value in run.params.items() if value is not None)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _limits(model: ModelFacts) -> str:
    return _list(
        (
            "It has learned what visitors of this catalogue chose, with their biases of taste, language and region.",
            "Queries and photos unlike those of the training window rest on the base alone.",
            "A score orders photos for one query; it is no probability and not comparable between queries.",
            *(("A photo without keywords loses what they would have added.",) if model.uses_keywords else ()),
            "Not for recognising or judging people.",
        )
    )


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
