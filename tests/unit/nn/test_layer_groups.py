from __future__ import annotations

from pathlib import Path

import pytest
import torch

from acclimate.nn.encoder import Encoder
from acclimate.nn.layer_groups import blocks_of, layer_groups
from tests.toy_images import write_image_source


def test_groups_go_from_the_embeddings_to_the_last_block(tiny_source: Path) -> None:
    module = Encoder.load(tiny_source, precision="fp32").module
    groups = layer_groups(module)
    assert len(groups) == 3
    assert [name for group in groups for name in group] == [name for name, _ in module.named_parameters()]
    assert all(name.startswith("embeddings.") for name in groups[0])
    assert all(name.startswith("encoder.layer.0.") for name in groups[1])


def test_what_follows_the_blocks_joins_the_last_group() -> None:
    module = torch.nn.ModuleDict(
        {
            "first": torch.nn.Linear(2, 2),
            "blocks": torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3)),
            "last": torch.nn.LayerNorm(2),
        }
    )
    assert layer_groups(module)[-1] == ["blocks.2.weight", "blocks.2.bias", "last.weight", "last.bias"]
    assert layer_groups(module)[0] == ["first.weight", "first.bias"]


def test_the_longest_list_of_one_kind_is_the_stack() -> None:
    short, long = (torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(n)) for n in (2, 4))
    mixed = torch.nn.ModuleList([torch.nn.Linear(1, 1), torch.nn.ReLU(), torch.nn.ReLU(), *[torch.nn.Tanh()] * 3])
    module = torch.nn.ModuleDict({"mixed": mixed, "short": short, "long": long})
    assert blocks_of(module) == {f"long.{i}": layer for i, layer in enumerate(long)}
    with pytest.raises(ValueError, match="no list of blocks"):
        blocks_of(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("kind", ["resnet", "convnext", "convnextv2"])
def test_blocks_of_a_network_in_stages_are_those_of_all_stages(kind: str, tmp_path: Path) -> None:
    module = Encoder.load(write_image_source(tmp_path, kind), precision="fp32").module
    blocks = list(blocks_of(module))
    assert [name.split(".")[1:4:2] for name in blocks] == [["stages", "layers"]] * 4
    groups = layer_groups(module)
    assert len(groups) == 5
    assert [name for group in groups for name in group] == [name for name, _ in module.named_parameters()]
    for block, group in zip(blocks, groups[1:], strict=True):
        assert group[0].startswith(block)
    # what makes the maps smaller between two stages
    assert not any(name.startswith(blocks[2]) for name in groups[2])
