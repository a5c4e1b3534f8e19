"""A model whose weights, gradients and optimizer state are shared out among the workers: torch's FSDP2.

Each block of the encoder is gathered when it computes and let go after; the rest, embeddings and the like, is gathered
for a whole step. Tensors of such a model are DTensors: what needs a whole one asks for it on all workers alike.

Source: Zhao et al. 2023, PyTorch FSDP; Rajbhandari et al. 2020, ZeRO, stage 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from acclimate.errors import ConfigError, ModelError
from acclimate.nn.compute import Compute
from acclimate.nn.devices import device_of
from acclimate.nn.job import Job
from acclimate.nn.layer_groups import blocks_of
from acclimate.nn.model import is_batch_norm
from acclimate.nn.penalties import FEATURE_PENALTIES, ROW_PENALTIES
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import trainable

Model = TypeVar("Model", bound=Trainable)


class ShardedCompute(Generic[Model]):
    """The model as it computes, its weights shared out; see :class:`acclimate.nn.compute.Compute`.

    Args:
        model: the model with float32 weights, on the processors. It is changed in place: a device holds no more of it
            than its shard and what computes.
        precision: ``fp32``; or ``bf16``: gathered weights, activations and their gradients are in it, a new head's
            not; shards and the sums of gradients stay in float32.
        device: what is computed on.

    Raises:
        ModelError: E-TRAIN-037, batch normalisation does not work sharded.
    """

    def __init__(self, model: Model, precision: str, device: torch.device) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method

        if any(is_batch_norm(layer) for layer in model.modules()):
            raise ModelError(
                "E-TRAIN-037",
                "a model with batch normalisation can't be trained sharded",
                hint="set compute.sharded: false",
            )
        mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
        exact = MixedPrecisionPolicy(reduce_dtype=torch.float32)
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if precision == "bf16" else exact
        for name in blocks_of(model.encoder):
            fully_shard(model.encoder.get_submodule(name), mesh=mesh, mp_policy=policy)
        if model.head_is_new:
            fully_shard(model.head, mesh=mesh, mp_policy=exact)
        fully_shard(model, mesh=mesh, mp_policy=policy)
        for method in model.forward_methods:
            register_fsdp_forward_method(model, method)
        for part in model.modules():
            if isinstance(part, FSDPModule):
                # losses are divided by the rows of all workers already; gloo has no other reduction
                part.set_gradient_divide_factor(1.0)
                part.set_force_sum_reduction_for_comms(enable=True)
        self.model = model
        self._parameters = trainable(model)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.model)

    def begin(self) -> None:
        """Forget the gradients of the last batch."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def collect(self) -> None:
        """Nothing: the backward pass has added to the gradients of the shards."""

    def add_up_gradients(self, add_up: Callable[[torch.Tensor], None]) -> None:
        """Nothing: the backward pass has summed over the workers."""

    def refresh(self) -> None:
        """Nothing: the next forward pass gathers the weights anew."""


AnyCompute = Compute[Model] | ShardedCompute[Model]


def compute_of(model: Model, precision: str, device: torch.device, *, sharded: bool) -> AnyCompute[Model]:
    """Put a model with float32 weights on a device, whole or this worker's shard of it."""
    if sharded:
        return ShardedCompute(model, precision, device)
    model.to(device)
    return Compute(model, trainable(model), precision)


def whole(value: torch.Tensor) -> torch.Tensor:
    """A tensor gathered from all workers, each of which must ask for it; one that is not sharded itself."""
    # DTensors are not asked for by their class, whose import takes most of a second
    gather: Any = getattr(value, "full_tensor", None)
    return value if gather is None else gather()


def laid_out(value: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A whole tensor, the same on all workers, on the device of another and sharded as that is."""
    here: torch.Tensor = value.to(other.device)
    like: Any = other
    if not hasattr(other, "full_tensor"):
        return here
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)


def require_shardable(job: Job) -> None:
    """Refuse to train a job sharded that can't be.

    Raises:
        ConfigError: E-TRAIN-036, its strategy or a penalty works on whole weights only.
    """
    strategy = STRATEGIES[job.strategy]
    hint = "set compute.sharded: false, or "
    if not strategy.is_shardable:
        what, hint = job.strategy, f"{hint}take {job.strategy} out of finetune.arms"
    else:
        held = [name for name in (*ROW_PENALTIES, *FEATURE_PENALTIES) if job.settings.get(name)]
        if not held:
            return
        what, hint = f"the penalty {held[0]}", f"{hint}finetune.penalties.{held[0]}: 0"
    raise ConfigError("E-TRAIN-036", f"{what} can't be trained sharded", where="compute.sharded", hint=hint)
