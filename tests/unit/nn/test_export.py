"""Adapted models as transformers, peft and ONNX Runtime load them: used as their README says, they predict the same."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from acclimate.errors import AcclimateError
from acclimate.exporting import export
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.encoder import Encoder, source_card
from acclimate.nn.export import checked
from acclimate.nn.inserts import Insert, attach
from acclimate.nn.model import AdaptedModel
from tests.conftest import write_tiny_source
from tests.tiny_lm import saved_writer, write_tiny_lm
from tests.toy_images import SIDE, toy_images, write_image_source

TEXTS = ["good phone", "a bad , slow service", "great " * 200, "why not ?"]
LABELS = ["bad", "fine", "good"]
Change = Callable[[Any], None]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def low_rank(module: Any, rank: int = 3) -> None:
    """What a merged adapter does."""
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.Linear):
                rows, columns = layer.weight.shape
                up, down = torch.randn(rows, rank, generator=noise), torch.randn(rank, columns, generator=noise)
                layer.weight += 0.02 * up @ down


def everything(module: Any) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))


def mixed(module: Any) -> None:
    """What interpolation makes of a merged adapter: every weight a mix, of equal weights too."""
    before = copy.deepcopy(module)
    low_rank(module)
    with torch.no_grad():
        for own, source in zip(module.parameters(), before.parameters(), strict=True):
            own.copy_(torch.lerp(source, own, 0.4) * (1 + 2.0**-24))


def frozen(module: Any) -> None:
    """Changes nothing."""


def refusal(model: Path, format_: str, folder: Path) -> str:
    """The code with which an export is refused, of which nothing is left."""
    before = sorted(folder.iterdir())
    with pytest.raises(AcclimateError) as caught:
        export(str(model), format_, folder / "refused", None, None)
    assert sorted(folder.iterdir()) == before
    return caught.value.code


def adapted(source: Path, folder: Path, change: Change = low_rank, insert: str = "", pooling: str = "") -> Path:
    """An adapted classifier of a source model."""
    encoder = Encoder.load(source, precision="fp32")
    module, made = copy.deepcopy(encoder.module), None
    change(module)
    if insert:
        settings = {"adapter": {"bottleneck": 4}, "prefix": {"tokens": 3}}[insert]
        module = attach(insert, module, settings)
        everything(module)
        made = Insert.of(insert, settings, module)
    changed = encoder.with_module(module.eval(), insert=made)
    changed.pooling = pooling or changed.pooling
    rng = np.random.default_rng(0)
    AdaptedModel.build(
        changed,
        rng.normal(size=(3, encoder.dim)),
        rng.normal(size=3),
        LABELS,
        strategy=insert or "lora",
        source=source_card(source, name="tiny", revision="1", licence="MIT"),
        temperature=1.7,
    ).save(folder)
    return folder


def used(folder: Path, **given: Any) -> dict[str, Any]:
    """What the lines of Python in the README leave behind."""
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    left: dict[str, Any] = {"FOLDER": str(folder), **given}
    exec(code, left)
    return left


@pytest.mark.parametrize(
    ("format_", "pooling"), [("transformers", "mean"), ("transformers", "cls"), ("peft", "mean"), ("onnx", "cls")]
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_text_classifier_used_as_its_readme_says_predicts_the_same(
    tiny_source: Path, tmp_path: Path, format_: str, pooling: str
) -> None:
    model = adapted(tiny_source, tmp_path / "model", pooling=pooling)
    done = export(str(model), format_, tmp_path / "out", None, str(tiny_source))
    assert done["largest_difference"] < 1e-5
    assert done["files"].keys() == {path.name for path in (tmp_path / "out").iterdir()}
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1, (
        "all may be read by whoever serves it"
    )
    found, own = used(tmp_path / "out", texts=TEXTS, SOURCE=str(tiny_source)), load_adapted(model)
    assert isinstance(own, AdaptedModel)
    np.testing.assert_allclose(np.asarray(found["probabilities"]), own.predict_proba(TEXTS), atol=1e-5)
    assert found["labels"] == own.predict(TEXTS)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_mix_of_an_adapter_and_its_source_is_an_adapter(tiny_source: Path, tmp_path: Path) -> None:
    model = adapted(tiny_source, tmp_path / "model", mixed)
    assert export(str(model), "peft", tmp_path / "out", None, str(tiny_source))["largest_difference"] < 1e-5
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"] == 3


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_on_a_source_stored_in_half_precision_it_computes_in_float32(tiny_source: Path, tmp_path: Path) -> None:
    source = shutil.copytree(tiny_source, tmp_path / "source")
    transformers.AutoModel.from_pretrained(source).to(torch.bfloat16).save_pretrained(source)
    model = adapted(source, tmp_path / "model")
    assert export(str(model), "peft", tmp_path / "out", None, str(source))["largest_difference"] < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_adapter_holds_no_weights_of_the_source(tiny_source: Path, tmp_path: Path) -> None:
    model = adapted(tiny_source, tmp_path / "model")
    export(str(model), "peft", tmp_path / "out", None, str(tiny_source))
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["rank_pattern"], config["base_model_name_or_path"]) == (3, {}, str(tiny_source))
    whole = (model / "model.safetensors").stat().st_size
    assert (tmp_path / "out" / "adapter_model.safetensors").stat().st_size < whole / 5


def test_an_image_classifier_used_as_its_readme_says_predicts_the_same(tmp_path: Path) -> None:
    model = adapted(write_image_source(tmp_path / "source", "vit"), tmp_path / "model", everything)
    export(str(model), "transformers", tmp_path / "out", None, None)
    files, _ = toy_images(4, 0)
    found = used(tmp_path / "out", images=[Image.open(io.BytesIO(file)).convert("RGB") for file in files])
    own = load_adapted(model)
    assert isinstance(own, AdaptedModel)
    np.testing.assert_allclose(found["probabilities"], own.predict_proba(files), atol=1e-4)


@pytest.mark.parametrize("kind", ["resnet", "convnextv2"])
def test_images_are_cropped_as_the_model_crops_them(tmp_path: Path, kind: str) -> None:
    source = write_image_source(tmp_path / "source", kind)
    path = source / "preprocessor_config.json"
    crop = {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **crop}))
    model = adapted(source, tmp_path / "model", everything)
    assert export(str(model), "transformers", tmp_path / "out", None, None)["largest_difference"] < 1e-4


@pytest.mark.parametrize("kind", ["dinov2", pytest.param("efficientnet-lite", marks=pytest.mark.slow)])
def test_every_kind_of_image_classifier_has_an_onnx(tmp_path: Path, kind: str) -> None:
    model = adapted(write_image_source(tmp_path / "source", kind), tmp_path / "model", everything)
    assert export(str(model), "onnx", tmp_path / "out", None, None)["largest_difference"] < 1e-4


@pytest.mark.slow
def test_a_model_with_bottlenecks_of_its_own_has_an_onnx_only(tiny_source: Path, tmp_path: Path) -> None:
    model = adapted(tiny_source, tmp_path / "model", frozen, "adapter")
    assert export(str(model), "onnx", tmp_path / "out", None, None)["largest_difference"] < 1e-4
    assert refusal(model, "transformers", tmp_path) == "E-EXPORT-002"


@pytest.mark.parametrize("format_", ["transformers", "onnx"])
def test_a_model_with_prefixes_has_neither(tiny_source: Path, tmp_path: Path, format_: str) -> None:
    assert refusal(adapted(tiny_source, tmp_path / "model", frozen, "prefix"), format_, tmp_path) == "E-EXPORT-002"


@pytest.mark.parametrize(("format_", "template"), [("transformers", True), ("transformers", False), ("peft", False)])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_a_language_model_used_as_its_readme_says_writes_the_same(tmp_path: Path, format_: str, template: bool) -> None:
    source = write_tiny_lm(tmp_path / "source", template=template, tied=False)
    lm = load_lm(source)
    low_rank(lm.base_model)
    asked = Prompting(has_prompts=True, shots=(("free `cash`", "spam"),), max_length=128, max_new_tokens=12)
    writer = Writer(
        lm,
        AnswerReader.load(source, lm.config, asked.max_length).tokenizer,
        asked,
        precision="fp32",
        strategy="lora",
        source=source_card(source, name="tiny", revision="1", licence="MIT"),
    )
    writer.save(tmp_path / "model")
    assert export(str(tmp_path / "model"), format_, tmp_path / "out", None, str(source))["largest_difference"] < 1e-4
    prompts = ["free cash now", "meet at nine"]
    assert used(tmp_path / "out", SOURCE=str(source), texts=prompts)["answers"] == writer.predict(prompts)


@pytest.mark.parametrize(
    ("change", "says"),
    [(frozen, "only the head was trained"), (everything, "no linear layer"), (lambda m: low_rank(m, 20), "directions")],
)
def test_what_is_no_adapter_is_not_written_as_one(tiny_source: Path, tmp_path: Path, change: Change, says: str) -> None:
    model = adapted(tiny_source, tmp_path / "model", change)
    with pytest.raises(AcclimateError, match=says) as caught:
        export(str(model), "peft", tmp_path / "out", None, str(tiny_source))
    assert caught.value.code == "E-EXPORT-004"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_an_adapter_belongs_to_the_model_it_was_adapted_from(tiny_source: Path, tmp_path: Path) -> None:
    model = adapted(tiny_source, tmp_path / "model")
    other = write_tiny_source(tmp_path / "other", seed=1)
    codes = []
    for source in (None, str(other)):
        with pytest.raises(AcclimateError) as caught:
            export(str(model), "peft", tmp_path / "out", None, source)
        codes.append(caught.value.code)
    assert codes == ["E-EXPORT-007", "E-EXPORT-004"]


def test_what_no_other_program_can_load_is_refused(tmp_path: Path) -> None:
    saved_writer(tmp_path / "writer")
    images = adapted(write_image_source(tmp_path / "source", "efficientnet-lite"), tmp_path / "images")
    assert refusal(tmp_path / "writer", "onnx", tmp_path) == "E-EXPORT-002"
    assert refusal(images, "transformers", tmp_path) == "E-EXPORT-003"


def test_a_model_that_computes_something_else_is_not_handed_out(
    tiny_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted(tiny_source, tmp_path / "model")
    monkeypatch.setattr(checked, "TOLERANCE", -1.0)
    with pytest.raises(AcclimateError) as caught:
        export(str(model), "transformers", tmp_path / "out", None, None)
    assert (caught.value.code, caught.value.exit_code) == ("E-EXPORT-005", 76)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_the_folder_one_is_in_is_not_replaced(tiny_source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    model = adapted(tiny_source, tmp_path / "model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(AcclimateError) as caught:
        export(str(model), "transformers", Path(), None, None)
    assert caught.value.code == "E-EXPORT-001"
    monkeypatch.chdir(tmp_path)
    export(str(model), "transformers", Path("here"), None, None)
    assert (tmp_path / "here" / "README.md").is_file()


def test_what_is_there_already_is_left_alone(tiny_source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(AcclimateError) as caught:
        export(str(tmp_path / "model"), "onnx", tmp_path / "out", None, None)
    assert caught.value.code == "E-EXPORT-001"
    assert (tmp_path / "out" / "mine").read_text() == "mine"
