"""What a training computes on: the processors, or a GPU where one was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from acclimate.errors import ConfigError

CPU = torch.device("cpu")


def training_device(gpus: int) -> torch.device:
    """The device of this process: the current GPU where any were asked for, else the processors.

    Args:
        gpus: GPUs this process was given; it computes on one.

    Raises:
        ConfigError: E-TRAIN-035, torch sees none.
    """
    if gpus == 0:
        return CPU
    if not torch.cuda.is_available():
        raise ConfigError(
            "E-TRAIN-035",
            f"compute.gpus_per_worker is {gpus}, and torch {torch.__version__} sees no GPU",
            where="compute.gpus_per_worker",
            hint="train where there is one, with a torch built for it, or set compute.gpus_per_worker: 0",
        )
    return torch.device("cuda", torch.cuda.current_device())


def measuring_device(gpus: int) -> torch.device:
    """What training will compute on where this process has it, else the processors.

    A step that only measures may run on a machine without GPUs; the precision is then the processors'.
    """
    return training_device(gpus) if torch.cuda.is_available() else CPU


def device_of(module: torch.nn.Module) -> torch.device:
    """Where a module's weights are."""
    return next(module.parameters()).device


def random_states(device: torch.device) -> dict[str, torch.Tensor]:
    """State of each random generator a training on a device draws from, uint8, by the kind of device."""
    states = {"cpu": torch.get_rng_state()}
    return states if device.type == "cpu" else {**states, device.type: torch.cuda.get_rng_state(device)}


def set_random_states(device: torch.device, states: Mapping[str, torch.Tensor]) -> None:
    """Set the generators that a training on a device draws from; one without a state stays as it is."""
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if device.type != "cpu" and device.type in states:
        torch.cuda.set_rng_state(states[device.type], device)


def generators(device: torch.device) -> list[torch.device]:
    """The devices whose random numbers a training on this one draws, beside the processors'."""
    return [] if device.type == "cpu" else [device]
