"""SearchModel: open_clip towers, an optional country prefix and keyword encoder; saved without pickles.

Shapes: B batch, D embedding dimension, C H W channels and pixels, L tokens. How a model comes into being is in
`sources`; how it learns, in `training`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CustomTextCLIP
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.nn import functional

from models.search.config import ImageConfig, SearchModelConfig, tiny_architecture
from models.search.errors import ModelError
from models.search.identity import ModelIdentity
from models.search.images import Preprocess, normalise_pixels
from models.search.keywords import KeywordEncoder, KeywordVocabulary, PhotoKeywords, RaggedKeywords
from models.search.query_model import CONFIG, WEIGHTS, QueryModel, identity_differs, read_config, weights_do_not_fit
from models.search.text_tower import TextTower
from models.search.tokenizer import FOLDER as TOKENIZER_FOLDER
from models.search.tokenizer import Tokenizer, clip_tokenizer, learn_tokenizer, needs_files, read_tokenizer

KEYWORDS = "keywords.json"


class SearchModel(QueryModel):
    """Scores a query and a photo by the dot product of two unit vectors of length `dim`."""

    def __init__(
        self,
        config: SearchModelConfig,
        network: CustomTextCLIP,
        tokenizer: Tokenizer,
        vocabulary: KeywordVocabulary | None = None,
    ) -> None:
        super().__init__(config, network, tokenizer)
        if config.uses_keywords != (vocabulary is not None):
            raise ModelError("model_files_disagree", "config.json and the keyword vocabulary do not belong together")
        self.vocabulary = vocabulary
        self.keyword_encoder = None if vocabulary is None else KeywordEncoder(vocabulary.row_count, self.dim)
        self.preprocess = Preprocess(config.image)

    @property
    def uses_keywords(self) -> bool:
        """Whether a photo's vector depends on its keywords."""
        return self.config.uses_keywords

    # -- photos ----------------------------------------------------------------------------------------

    def encode_images(self, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        """Return raw image features [B, D], not normalised, of pictures from `preprocess`."""
        features_BD: torch.Tensor = self.network.visual(normalise_pixels(pixels_BCHW, self.config.image))
        return features_BD

    def compose_photos(self, features_BD: torch.Tensor, keywords: Sequence[PhotoKeywords]) -> torch.Tensor:
        """Return photo vectors, unit float32 [B, D]: image features plus, if the model reads them, the keywords.

        `keywords[i]` are those of photo i with confidences in 0..1; a model without keyword encoder ignores them.
        """
        if len(keywords) != len(features_BD):
            raise ValueError(f"{len(features_BD)} photos but keywords of {len(keywords)}")
        if self.vocabulary is None:
            return functional.normalize(features_BD.float(), dim=-1)
        return self.combine(features_BD, RaggedKeywords.encode(self.vocabulary, keywords))

    def encode_keywords(self, keywords: Sequence[PhotoKeywords]) -> torch.Tensor:
        """Return what keywords add to raw image features, float32 [B, D]; zeros if the model reads none."""
        if self.keyword_encoder is None or self.vocabulary is None:
            return torch.zeros(len(keywords), self.dim, device=self.device)
        added_BD: torch.Tensor = self.keyword_encoder(RaggedKeywords.encode(self.vocabulary, keywords)).float()
        return added_BD

    def combine(self, features_BD: torch.Tensor, keywords: RaggedKeywords | None) -> torch.Tensor:
        """Like `compose_photos`, for keyword rows looked up before."""
        if self.keyword_encoder is not None and keywords is not None:
            features_BD = features_BD.float() + self.keyword_encoder(keywords)
        return functional.normalize(features_BD.float(), dim=-1)

    # -- identity --------------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything that could change a score."""
        vocabulary = "" if self.vocabulary is None else self.vocabulary.to_json()
        return self._digest("all", [self.config.model_dump(mode="json"), vocabulary], self.state_dict())

    @property
    def image_digest(self) -> str:
        """Like `digest`, of what `preprocess` and `encode_images` depend on: equal digests, equal features."""
        architecture = self.config.architecture
        parts = [architecture["embed_dim"], architecture["vision_cfg"], architecture.get("quick_gelu", False)]
        return self._digest("image", [parts, self.config.image.model_dump()], self.network.visual.state_dict())

    @property
    def identity(self) -> ModelIdentity:
        """All digests together, with what else is needed to plan work for the model without loading it."""
        return ModelIdentity(
            digest=self.digest,
            image_digest=self.image_digest,
            text_digest=self.text_digest,
            dim=self.dim,
            uses_country=self.uses_country,
        )

    # -- files -----------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), config, identity and, where there are, keywords and tokenizer files."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
        (folder / CONFIG).write_text(json.dumps(self.config.model_dump(mode="json"), indent=1, sort_keys=True) + "\n")
        if self.vocabulary is not None:
            (folder / KEYWORDS).write_text(self.vocabulary.to_json(), encoding="utf-8")
        if needs_files(self.config.text_cfg):
            self.tokenizer.save(folder / TOKENIZER_FOLDER)
        self.identity.save(folder)

    @classmethod
    def load(cls, folder: Path, device: str | torch.device = "cpu") -> SearchModel:
        """Read what `save` wrote, ready for inference; `ModelError` says which file is missing or does not fit.

        The weights are checked against the digests that were written beside them.
        """
        folder = Path(folder)
        config = read_config(folder)
        vocabulary = None
        if config.uses_keywords:
            try:
                vocabulary = KeywordVocabulary.from_json((folder / KEYWORDS).read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError) as error:
                text = f"{folder / KEYWORDS} is not the keywords of a search model: {error}"
                raise ModelError("model_file_unreadable", text, path=folder / KEYWORDS) from error
        tokenizer = read_tokenizer(config.text_cfg, folder / TOKENIZER_FOLDER)
        model = cls(config, build_network(config.architecture), tokenizer, vocabulary)
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError) as error:
            raise weights_do_not_fit(folder, error) from error
        if model.identity != ModelIdentity.read(folder):
            raise identity_differs(folder)
        return model.to(device).eval()


def build_network(architecture: dict[str, Any]) -> CustomTextCLIP:
    """Return open_clip's two towers with random weights, always in the form visual.*, text.*, scale and bias.

    The text tower is open_clip's by its weights and the project's by its code (`text_tower`). Raises `ModelError` for
    architectures with a text tower of transformers or a decoder (CoCa).
    """
    cfg = deepcopy(architecture)
    cfg.pop("custom_text", None)
    if "multimodal_cfg" in cfg or cfg["text_cfg"].get("hf_model_name"):
        raise ModelError(
            "architecture_unsupported",
            "text towers from transformers and captioning models (CoCa) are not supported: take another",
        )
    if cfg["vision_cfg"].get("timm_model_name"):
        cfg["vision_cfg"]["timm_model_pretrained"] = False
    cfg.setdefault("init_logit_bias", 0.0)  # models trained with softmax have none; training fits one
    network = CustomTextCLIP(**cfg)
    network.text = TextTower.of_weights(architecture, network.text.state_dict())
    return network


def build_tiny_model(
    *,
    seed: int = 0,
    uses_country: bool = False,
    vocabulary: KeywordVocabulary | None = None,
    texts: Iterable[str] | None = None,
    vocab_size: int = 8192,
    **sizes: Any,
) -> SearchModel:
    """Return a small SigLIP with random weights that needs no download; `sizes` as in `tiny_architecture`.

    Its tokens are learned from `texts`, at most `vocab_size`; without texts they are those of CLIP (English).
    """
    architecture = tiny_architecture(**sizes)
    tokenizer = None
    if texts is not None:
        tokenizer, learned = learn_tokenizer(texts, vocab_size, architecture["text_cfg"]["context_length"])
        architecture["text_cfg"] |= learned
    config = SearchModelConfig(
        architecture=architecture,
        image=ImageConfig(size=architecture["vision_cfg"]["image_size"]),
        uses_country=uses_country,
        uses_keywords=vocabulary is not None,
        origin="tiny",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(architecture)
    return SearchModel(config, network, tokenizer or clip_tokenizer(config.text_cfg), vocabulary).eval()


def extend_model(base: SearchModel, *, uses_country: bool, vocabulary: KeywordVocabulary | None) -> SearchModel:
    """Return a copy of `base` that also uses the country, or keywords through a fresh (zero) encoder.

    Before training it ranks as `base` does, apart from the country prefix in its queries.
    """
    changes = {"uses_country": uses_country, "uses_keywords": vocabulary is not None}
    config = base.config.model_copy(update=changes)
    return SearchModel(config, deepcopy(base.network), base.tokenizer, vocabulary).to(base.device).eval()


def renew_vocabulary(model: SearchModel, vocabulary: KeywordVocabulary) -> SearchModel:
    """Return a copy of a model with another keyword vocabulary, in which every keyword of it keeps its vector.

    A keyword that had no row of its own begins with the shared one it was hashed to. Raises `ModelError` if the
    model reads no keywords or hashes them into another number of rows.
    """
    if model.vocabulary is None or model.keyword_encoder is None:
        raise ModelError("model_reads_no_keywords", "the model reads no keywords")
    if vocabulary.hash_rows != model.vocabulary.hash_rows:
        raise ModelError(
            "keyword_rows_differ",
            f"{vocabulary.hash_rows} shared keyword rows instead of {model.vocabulary.hash_rows}",
            found=vocabulary.hash_rows,
            expected=model.vocabulary.hash_rows,
        )
    renewed = SearchModel(model.config, deepcopy(model.network), model.tokenizer, vocabulary).to(model.device).eval()
    assert renewed.keyword_encoder is not None
    rows = [model.vocabulary.row(keyword) for keyword in vocabulary.keywords]
    rows += range(len(model.vocabulary.keywords), model.vocabulary.row_count)
    with torch.no_grad():
        renewed.keyword_encoder.bag.weight.copy_(model.keyword_encoder.bag.weight[rows])
    return renewed


def parameter_count(parameters: Iterable[torch.Tensor]) -> int:
    """Return how many numbers the tensors hold."""
    return sum(parameter.numel() for parameter in parameters)
