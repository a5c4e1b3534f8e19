"""What a user may write about text generation."""

from __future__ import annotations

from pydantic import Field

from acclimate.config_base import Section


class GenerationSpec(Section):
    """How texts are written, and how prompting is scored. For text-generation only."""

    max_new_tokens: int = Field(64, ge=1, le=4096, description="longest answer that is written, tokens")
    max_length: int = Field(
        512,
        ge=16,
        le=32_768,
        description="tokens of prompt and answer together; longer rows are refused",
    )
    shots: int = Field(4, ge=0, le=64, description="examples in the prompt of the few-shot baseline")
    baseline_rows: int = Field(200, ge=20, le=10_000, description="rows of train on which prompting is scored")


#: What text generation has in the place of the defaults of finetune: a language model is the best epoch's, as trained.
GENERATION_DEFAULTS = {"interpolate": False}
