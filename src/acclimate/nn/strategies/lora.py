"""Low-rank adapters on all linear layers of the encoder; the head is trained too, from the probe.

Source: Hu et al. 2021; all linear layers at about ten times the rate of full fine-tuning: Schulman 2025.
"""

from __future__ import annotations

from acclimate.nn.model import TextClassifier
from acclimate.nn.strategies.strategy import Settings, Strategy


def _prepare(model: TextClassifier, settings: Settings) -> None:
    # peft takes four seconds to import, and most commands never train
    from peft import LoraConfig, get_peft_model

    rank = int(settings["rank"])
    config = LoraConfig(
        r=rank,
        lora_alpha=float(settings.get("alpha", 2 * rank)),
        lora_dropout=float(settings.get("dropout", 0.0)),
        target_modules="all-linear",
    )
    model.encoder = get_peft_model(model.encoder, config)
    model.head.requires_grad_(True)


def _merge(model: TextClassifier) -> None:
    model.encoder = model.encoder.merge_and_unload(safe_merge=True)
    model.requires_grad_(True)


LORA = Strategy("lora", role="arm", starts_from_probe=True, prepare=_prepare, merge=_merge)
