"""What a user may write about training: strategies, penalties, and what all of them share."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from acclimate.config_base import Section

Strategy = Literal[
    "frozen", "lora", "adapter", "prefix", "ia3", "bitfit", "partial", "gradual", "full", "tapt", "scratch"
]
Rate = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0, allow_inf_nan=False)]
LayerDecay = Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)]
_LAYER_DECAY = "share of the rate that each layer group keeps of the one above it; 1 is the same rate for all"


class LoraSpec(Section):
    """Low-rank adapters on the linear layers (Hu 2021)."""

    targets: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="layers that are adapted, by name or its end, e.g. query and value; by default all linear layers",
    )
    rank: int = Field(16, ge=1, le=1024, description="rank of the update")
    alpha: float | None = Field(None, gt=0, le=10_000, allow_inf_nan=False, description="scale; by default 2 x rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank) (Kalajdzievski 2023)")
    dora: bool = Field(False, description="learn magnitude and direction apart (Liu 2024); slower")
    learning_rate: Rate = Field(1e-3, description="peak learning rate")


class AdapterSpec(Section):
    """A bottleneck behind each block (Houlsby 2019); it stays in the model."""

    bottleneck: int = Field(64, ge=1, le=4096, description="units of the bottleneck")
    learning_rate: Rate = Field(1e-3, description="peak learning rate")


class PrefixSpec(Section):
    """Keys and values that each layer attends to (Li & Liang 2021); they stay in the model."""

    tokens: int = Field(16, ge=1, le=1024, description="length of the prefix")
    learning_rate: Rate = Field(1e-2, description="peak learning rate")


class Ia3Spec(Section):
    """Scales of keys, values and feed-forward activations (Liu 2022)."""

    learning_rate: Rate = Field(1e-2, description="peak learning rate")


class BitfitSpec(Section):
    """Biases and normalisation (Ben-Zaken 2022)."""

    learning_rate: Rate = Field(1e-3, description="peak learning rate")


class PartialSpec(Section):
    """The top layer groups, started from the probe."""

    groups: int = Field(2, ge=1, le=1000, description="layer groups that are trained, counted from the top")
    layer_decay: LayerDecay = Field(1.0, description=_LAYER_DECAY)
    learning_rate: Rate = Field(3e-4, description="peak learning rate")


class GradualSpec(Section):
    """All weights, opened group by group from the top as validation stalls (Howard & Ruder 2018)."""

    layer_decay: LayerDecay = Field(1.0, description=_LAYER_DECAY)
    learning_rate: Rate = Field(1e-4, description="peak learning rate")


class FullSpec(Section):
    """All weights, started from the probe (LP-FT, Kumar 2022)."""

    reinitialise: int = Field(
        0,
        ge=0,
        le=1000,
        description="top layers that start from random weights, and so does the head (Zhang 2021); for texts only",
    )
    layer_decay: LayerDecay = Field(1.0, description=_LAYER_DECAY)
    learning_rate: Rate = Field(1e-4, description="peak learning rate")


class TaptSpec(Section):
    """All weights, after masked-language-model pretraining on the pool and the training texts (Gururangan 2020)."""

    masked_share: float = Field(
        0.15, gt=0.0, le=0.5, allow_inf_nan=False, description="share of a text's tokens that are hidden"
    )
    pretraining_epochs: int = Field(
        5,
        ge=1,
        le=1000,
        description="longest pretraining, epochs; the best by held-out masked loss is kept",
    )
    max_pool_rows: int = Field(
        200_000, ge=1, le=100_000_000, description="texts of the pool that are read at most, drawn at random"
    )
    pretraining_learning_rate: Rate = Field(1e-4, description="peak learning rate of the pretraining")
    layer_decay: LayerDecay = Field(1.0, description=_LAYER_DECAY)
    learning_rate: Rate = Field(1e-4, description="peak learning rate of the fine-tuning after it")


class ScratchSpec(Section):
    """The same architecture with random weights: a control, never handed on."""

    learning_rate: Rate = Field(5e-4, description="peak learning rate")


class PenaltiesSpec(Section):
    """What holds every arm near the source model; 0 switches a penalty off. Scratch has none."""

    l2_sp: Weight | None = Field(
        None,
        description="pull of trained source weights to their start (Li 2018), in the place of weight decay; by default "
        "0.01 where labels are few, else 0",
    )
    delta: Weight = Field(0.0, description="pull of hidden states to the source's (DELTA, Li 2019: 0.01)")
    bss: Weight = Field(
        0.0,
        description="shrinks the smallest singular value of a batch's features (BSS, Chen 2019: 0.001)",
    )
    lwf: Weight = Field(0.0, description="distillation from the frozen baseline (Li & Hoiem 2016: 1)")


def _epochs() -> dict[Strategy, int]:
    return {name: 20 for name in get_args(Strategy) if name != "frozen"}


class FinetuneSpec(Section):
    """How arms are trained."""

    arms: list[Strategy] | None = Field(None, description="strategies to try instead of the rules' own list")
    scratch_control: bool = Field(
        default=False, description="where anything is trained, train from scratch too, to be compared with"
    )
    max_epochs: dict[Strategy, Annotated[int, Field(ge=1, le=1000)]] = Field(
        default_factory=_epochs, description="longest training of each strategy, epochs"
    )
    batch_size: int = Field(32, ge=1, le=4096, description="rows a step, over all workers")
    warmup: float = Field(
        0.1, ge=0.0, le=1.0, allow_inf_nan=False, description="share of the steps over which the rate rises"
    )
    schedule: Literal["linear", "cosine"] = Field(
        "linear", description="how the rate falls to 0 after that; cosine for images. Constant in successive halving"
    )
    weight_decay: float = Field(0.01, ge=0, le=1, allow_inf_nan=False, description="AdamW's decay")
    clip_norm: float = Field(1.0, gt=0, le=1000, allow_inf_nan=False, description="largest gradient norm")
    patience: int = Field(3, ge=1, le=100, description="epochs without a better validation score before it stops")
    soup: int = Field(1, ge=1, le=20, description="best epochs that are averaged, each where it helps; 1: the best one")
    interpolate: bool = Field(
        default=True, description="hand on the best model on the line to the source's weights (WiSE-FT)"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="seed of initialisation, order and dropout")
    seeds: int = Field(
        1,
        ge=1,
        le=10,
        description="how often the chosen arm is trained, each time with the next seed, as far as the budget allows; "
        "the first is handed on, the others show how much of its score is luck",
    )
    penalties: PenaltiesSpec = PenaltiesSpec()
    lora: LoraSpec = LoraSpec()
    adapter: AdapterSpec = AdapterSpec()
    prefix: PrefixSpec = PrefixSpec()
    ia3: Ia3Spec = Ia3Spec()
    bitfit: BitfitSpec = BitfitSpec()
    partial: PartialSpec = PartialSpec()
    gradual: GradualSpec = GradualSpec()
    full: FullSpec = FullSpec()
    tapt: TaptSpec = TaptSpec()
    scratch: ScratchSpec = ScratchSpec()

    def settings_of(self, strategy: str) -> dict[str, Any]:
        """A strategy's own settings; what is left to its default elsewhere is absent."""
        section: Section = getattr(self, strategy)
        return {name: value for name, value in section.model_dump().items() if value is not None}


#: What images have in the place of the defaults above, which are for texts.
#: Source: AutoGluon-Multimodal's defaults for vision (Tang et al. 2024).
IMAGE_DEFAULTS = {
    "schedule": "cosine",
    "weight_decay": 0.001,
    "patience": 10,
    "soup": 3,
    "partial": {"layer_decay": 0.9, "learning_rate": 1e-4},
    "gradual": {"layer_decay": 0.9},
    "full": {"layer_decay": 0.9},
}
