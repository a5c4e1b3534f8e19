"""What examples/fetch.py makes of packages: small made-up ones, no network."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES = {"Flags": 3, "People & Body": 4, "Objects": 2, "Symbols": 2, "Food & Drink": 2, "Activities": 1, "Travel": 2}


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


@pytest.fixture
def package() -> ModuleType:
    return importlib.import_module("fetch_package")


@pytest.fixture
def emoji() -> ModuleType:
    return importlib.import_module("fetch_emoji")


@pytest.fixture
def efficientnet() -> ModuleType:
    return importlib.import_module("fetch_efficientnet")


@pytest.fixture
def smollm2() -> ModuleType:
    return importlib.import_module("fetch_smollm2")


def listed(sizes: dict[str, int]) -> list[dict[str, Any]]:
    names = [(category, i) for category, size in sizes.items() for i in range(size)]
    return [
        {
            "category": category,
            "unified": f"{n:04X}-FE0F",
            "image": f"{n:04x}-fe0f.png",
            "has_img_google": i != 1,
            "skin_variations": {"1F3FB": {"image": f"{n:04x}-1f3fb.png"}},
        }
        for n, (category, i) in enumerate(names)
    ]


def tarball(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return path


# --- folders ----------------------------------------------------------------------------------


def test_a_folder_has_the_digest_of_its_paths_and_contents(package: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").write_bytes(b"one")
    (tmp_path / "a.png").write_bytes(b"two")
    lines = "".join(
        f"{name}\0{hashlib.sha256(content).hexdigest()}\n" for name, content in (("a.png", b"two"), ("b/1.png", b"one"))
    )
    whole = package.folder_digest(tmp_path)
    assert whole == hashlib.sha256(lines.encode()).hexdigest()
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    assert package.folder_digest(tmp_path) != whole


def test_a_folder_is_written_whole_and_replaces_what_was_there(package: ModuleType, tmp_path: Path) -> None:
    files = {"x/1.png": b"1", "y/2.png": b"2"}
    model = tmp_path / "model"
    for name, content in files.items():
        (model / name).parent.mkdir(parents=True)
        (model / name).write_bytes(content)
    digest = package.folder_digest(model)

    target = tmp_path / "target"
    assert not package.is_complete(target, digest)
    target.mkdir()
    (target / "old").write_bytes(b"old")
    (tmp_path / "target.partial").mkdir()
    (tmp_path / "target.partial" / "interrupted").write_bytes(b"")
    assert not package.is_complete(target, digest)
    package.write_folder(target, files, digest)
    assert package.is_complete(target, digest)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "target"]


def test_an_unexpected_folder_is_not_put_in_place(package: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(SystemExit, match="came out different"):
        package.write_folder(target, {"1.png": b"1"}, "0" * 64)
    assert not target.exists()


@pytest.mark.parametrize("name", ["../outside.png", "x/../../outside.png", "/outside.png"])
def test_nothing_is_written_outside_the_folder(package: ModuleType, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="leads out of"):
        package.write_folder(tmp_path / "target", {name: b"1"}, "0" * 64)
    assert list(tmp_path.rglob("*.png")) == []


def test_a_table_is_written_whole_or_not_at_all(package: ModuleType, tmp_path: Path) -> None:
    path, rows = tmp_path / "pairs.csv", [("a, b", 'say "c"')]
    content = b'text,answer\n"a, b","say ""c"""\n'
    with pytest.raises(SystemExit, match="came out different"):
        package.write_table(path, ("text", "answer"), rows, "0" * 64)
    assert not path.exists()
    package.write_table(path, ("text", "answer"), rows, hashlib.sha256(content).hexdigest())
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


# --- packages ---------------------------------------------------------------------------------


def test_a_missing_npm_is_named(package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"thing@1 is an npm package and npm is not installed"):
        package.npm_pack(("thing@1", "thing-1.tgz", "0" * 64), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"), [("", "thing@1 can't be fetched"), ("other", "thing-1.tgz is not the file")]
)
def test_what_npm_brings_is_checked(
    package: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\nif [ -n '{content}' ]; then printf '{content}' > \"$5/thing-1.tgz\"; fi\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SystemExit, match=message):
        package.npm_pack(("thing@1", "thing-1.tgz", hashlib.sha256(b"thing").hexdigest()), tmp_path)


def test_the_command_names_what_it_fetches() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "fetch.py"), "sounds"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "texts" in done.stderr
    assert "images" in done.stderr
    assert "generation" in done.stderr


# --- emoji ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("category", "expected"),
    [("Smileys & Emotion", "smileys-emotion"), ("Flags", "flags"), ("Travel & Places", "travel-places")],
)
def test_a_group_is_named_by_its_words(emoji: ModuleType, category: str, expected: str) -> None:
    assert emoji.slug(category) == expected


def test_the_largest_groups_are_kept_but_no_components(emoji: ModuleType) -> None:
    found = emoji.groups(listed({**SIZES, "Component": 9}), 4)
    assert found == ["People & Body", "Flags", "Food & Drink", "Objects"]


def test_images_lie_in_their_groups_without_skin_variations(emoji: ModuleType) -> None:
    one = listed(SIZES)
    files = {f"img/google/64/{entry['image']}": entry["unified"].encode() for entry in one}
    files |= {f"img/google/64/{entry['skin_variations']['1F3FB']['image']}": b"skin" for entry in one}
    made = emoji.images({**files, "emoji.json": json.dumps(one).encode()}, "google")
    kept = [entry for entry in one if entry["category"] != "Activities" and entry["has_img_google"]]
    assert sorted(made.values()) == sorted(entry["unified"].encode() for entry in kept)
    assert made["people-body/0003-FE0F.png"] == b"0003-FE0F"
    assert {name.split("/")[0] for name in made} == {emoji.slug(category) for category in SIZES} - {"activities"}


def test_names_are_prompts_and_their_paths_the_answers(emoji: ModuleType) -> None:
    names = [("GRINNING FACE", "Smileys & Emotion", "face-smiling"), ("SKIN TONE-2", "Component", "skin-tone")]
    one = [dict(zip(("name", "category", "subcategory"), entry, strict=True)) for entry in names]
    assert emoji.paths(one) == [("Unicode category of the emoji: grinning face", "Smileys & Emotion / face-smiling")]


def test_only_the_list_and_the_drawings_of_64_pixels_are_read(emoji: ModuleType, tmp_path: Path) -> None:
    wanted = {"emoji.json": b"[]", "img/google/64/0023.png": b"png"}
    others = {"package.json": b"{}", "img/google/sheets/64.png": b"sheet", "img/google/128/0023.png": b"large"}
    files = {f"package/{name}": content for name, content in (wanted | others).items()}
    assert emoji.archive_files(tarball(tmp_path / "a.tgz", files)) == wanted


@pytest.mark.parametrize("name", ["package/../../img/google/64/1.png", "/package/img/google/64/1.png", "other/1.png"])
def test_a_member_outside_its_package_is_refused(emoji: ModuleType, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="is no file of its package"):
        emoji.archive_files(tarball(tmp_path / "a.tgz", {"package/emoji.json": b"[]", name: b"png"}))


def test_a_link_is_refused(emoji: ModuleType, tmp_path: Path) -> None:
    archive = tarball(tmp_path / "a.tgz", {}, {"package/img/google/64/1.png": "../../../../../etc/passwd"})
    with pytest.raises(SystemExit, match="is no file of its package"):
        emoji.archive_files(archive)


# --- model ------------------------------------------------------------------------------------


def published(efficientnet: ModuleType) -> dict[str, torch.Tensor]:
    """What the package ships: a classifier too, and memory in another order."""
    state = efficientnet.build(efficientnet.CONFIG).state_dict()
    turned = {name: t.transpose(0, 1).contiguous().transpose(0, 1) if t.ndim == 4 else t for name, t in state.items()}
    return turned | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def test_the_model_is_what_was_published_without_its_classifier(efficientnet: ModuleType) -> None:
    given = published(efficientnet)
    files = efficientnet.model_files(efficientnet.encoder_tensors(given))
    assert set(files) == {"config.json", "preprocessor_config.json", "model.safetensors", "README.md"}
    stored = load(files["model.safetensors"])
    assert set(given) - set(stored) == {"_fc.weight", "_fc.bias"}
    assert all(torch.equal(tensor, given[name]) for name, tensor in stored.items())
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32, torch.int64}
    efficientnet.build(json.loads(files["config.json"])).load_state_dict(stored, strict=True)
    assert files["README.md"].startswith(b"---\nlicense: apache-2.0\n")


def test_other_weights_are_refused(efficientnet: ModuleType) -> None:
    given = published(efficientnet)
    del given["_blocks.3._bn1.bias"]
    with pytest.raises(RuntimeError, match=r"_blocks\.3\._bn1\.bias"):
        efficientnet.encoder_tensors(given)


def test_the_normalisation_is_the_one_the_weights_were_trained_with(efficientnet: ModuleType) -> None:
    """The stem's outputs on photographs have the variance its batch norm has stored."""
    weights = EXAMPLES / "models" / "efficientnet-lite0" / "model.safetensors"
    if not weights.is_file():
        pytest.skip("needs the real weights: python examples/fetch.py images")
    datasets = pytest.importorskip("sklearn.datasets", reason="takes its photographs from scikit-learn")
    stored = load(weights.read_bytes())
    module = efficientnet.build(efficientnet.CONFIG)
    module.load_state_dict(stored)
    photographs = [torch.tensor(np.array(photo)).permute(2, 0, 1) for photo in datasets.load_sample_images().images]
    pixels = torch.nn.functional.interpolate(torch.stack(photographs).float() / 255, size=(256, 384), mode="area")

    def misfit(mean: list[float], std: list[float]) -> float:
        """Median distance of the stem's log variance from the stored one, over channels that were not dead."""
        normalised = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
        with torch.no_grad():
            found = module.get_submodule("_conv_stem")(normalised).var((0, 2, 3))
        alive = stored["_bn0.running_var"] > 1e-3
        return float((found / stored["_bn0.running_var"])[alive].log().median().abs())

    ours = misfit(efficientnet.PREPROCESSOR["image_mean"], efficientnet.PREPROCESSOR["image_std"])
    imagenet = misfit([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    zero_to_one = misfit([0.0] * 3, [1.0] * 3)
    assert ours < 0.5
    assert imagenet > 1
    assert zero_to_one > 1


# --- language model ---------------------------------------------------------------------------


def test_weights_are_halved_and_the_output_layer_is_stored_once(smollm2: ModuleType) -> None:
    embeddings = torch.tensor([[0.1, -1.5], [2.0, 3e-8]])
    norm = torch.tensor([9.25, 1 / 3])
    given = {"model.embed_tokens.weight": embeddings, "model.norm.weight": norm, "lm_head.weight": embeddings.clone()}
    made = smollm2.half_tensors(given)
    assert set(made) == {"model.embed_tokens.weight", "model.norm.weight"}
    assert all(torch.equal(tensor, given[name].half()) for name, tensor in made.items())
    with pytest.raises(AssertionError):
        smollm2.half_tensors({**given, "lm_head.weight": embeddings + 1})


def test_every_digit_is_a_token_and_the_rest_is_as_it_was(smollm2: ModuleType) -> None:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "19", "ab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("1", "9"), ("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert "19" in tokenizer.encode("ab 19").tokens
    assert smollm2.digits_apart(tokenizer).encode("ab 19").tokens == ["ab", "\u0120", "1", "9"]


def test_the_folder_loads_as_a_language_model_and_renders_turns(smollm2: ModuleType, tmp_path: Path) -> None:
    small = {"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = {**smollm2.CONFIG, **small, "num_key_value_heads": 1, "vocab_size": 256}
    model = LlamaForCausalLM(LlamaConfig.from_dict(config))
    vocabulary = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    files = smollm2.model_files(smollm2.half_tensors(model.state_dict()), Tokenizer(models.BPE(vocabulary, [])))
    files["config.json"] = json.dumps(config).encode()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    loaded, report = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    turns = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")


def test_a_missing_gguf_is_named_before_anything_is_fetched(
    smollm2: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smollm2, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="gguf is not installed"):
        smollm2.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_real_model_answers(smollm2: ModuleType) -> None:
    folder = EXAMPLES / "models" / "smollm2-135m-instruct"
    if not folder.is_dir():
        pytest.skip("needs the real weights: python examples/fetch.py generation")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**asked, max_new_tokens=12, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(written) == "The capital of France is Paris.<|im_end|>"
