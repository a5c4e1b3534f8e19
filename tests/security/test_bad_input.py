"""Bad input: refused with code, place and hint, or read as documented; no record is left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.tables import Limits, read_table
from acclimate.config import DataSpec
from acclimate.config_file import load_config, resolve_data_path
from acclimate.errors import AcclimateError, ConfigError, DataError
from acclimate.ports import RawTable
from acclimate.records import DataCard
from acclimate.stages.ingest import ingest

GOOD = """\
name: mail
source: package://pack/model
target: {data: mail.csv}
"""


def good_with(line: str) -> str:
    """The good file with one more line, its line 4."""
    return GOOD + line + "\n"


def with_target(rest: str) -> str:
    return GOOD.replace("{data: mail.csv}", rest)


def with_source(rest: str) -> str:
    return GOOD.replace("package://pack/model", rest)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{n}: &{n} [*{p}, *{p}, *{p}, *{p}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
)

# what, text or bytes, code, line of the problem
CONFIG: list[tuple[str, str | bytes, str, int]] = [
    ("unknown key", good_with("finetun: {}"), "E-CONFIG-020", 4),
    ("duplicate key", good_with("name: other"), "E-CONFIG-011", 4),
    ("duplicate key inside", good_with("goal: {metric: accuracy, metric: macro_f1}"), "E-CONFIG-011", 4),
    ("python object", good_with("workspace: !!python/object/apply:os.system [id]"), "E-CONFIG-009", 4),
    ("python name", good_with("workspace: !!python/name:os.system"), "E-CONFIG-009", 4),
    ("own tag", good_with("workspace: !include /etc/passwd"), "E-CONFIG-009", 4),
    ("anchor bomb", good_with(BOMB), "E-CONFIG-010", 4),
    ("alias to itself", good_with("gap: &x {seed: *x}"), "E-CONFIG-010", 4),
    ("merge key", good_with("<<: {name: x}"), "E-CONFIG-020", 4),
    ("empty file", "", "E-CONFIG-006", 1),
    ("comments only", "# nothing\n\n", "E-CONFIG-006", 1),
    ("an empty document", "---\n", "E-CONFIG-007", 1),
    ("list at the top", "- name: x\n", "E-CONFIG-007", 1),
    ("text at the top", "hello\n", "E-CONFIG-007", 1),
    ("two documents", good_with("---\nname: b"), "E-CONFIG-008", 4),
    ("tabs", good_with("goal:\n\tmetric: accuracy"), "E-CONFIG-005", 5),
    ("broken syntax", good_with("goal: {metric: accuracy"), "E-CONFIG-004", 5),
    ("UTF-16", GOOD.encode("utf-16"), "E-CONFIG-003", 1),
    ("UTF-16 without BOM", GOOD.encode("utf-16-le"), "E-CONFIG-003", 1),
    ("latin-1", (GOOD + "# café\n").encode("latin-1"), "E-CONFIG-003", 4),
    ("NUL", GOOD.encode() + b"# " + b"x" * 1000 + b"\0\n", "E-CONFIG-012", 4),
    ("rank 0", good_with("finetune: {lora: {rank: 0}}"), "E-CONFIG-023", 4),
    ("rank -1", good_with("finetune: {lora: {rank: -1}}"), "E-CONFIG-023", 4),
    ("rank 1e9", good_with("finetune: {lora: {rank: 1e9}}"), "E-CONFIG-022", 4),
    ("rank 1000000000", good_with("finetune: {lora: {rank: 1000000000}}"), "E-CONFIG-023", 4),
    ("rank of 5000 digits", good_with(f"finetune: {{lora: {{rank: {'9' * 5000}}}}}"), "E-CONFIG-022", 4),
    ("rank true", good_with("finetune: {lora: {rank: true}}"), "E-CONFIG-022", 4),
    ("rate nan", good_with("finetune: {full: {learning_rate: .nan}}"), "E-CONFIG-023", 4),
    ("rate the word nan", good_with("finetune: {full: {learning_rate: nan}}"), "E-CONFIG-022", 4),
    ("rate inf", good_with("finetune: {full: {learning_rate: .inf}}"), "E-CONFIG-023", 4),
    ("rate as text", good_with('finetune: {full: {learning_rate: "1e-4"}}'), "E-CONFIG-022", 4),
    ("rate 1e400", good_with("finetune: {full: {learning_rate: 1e400}}"), "E-CONFIG-023", 4),
    ("s3 without bucket", with_target("{data: 's3://'}"), "E-CONFIG-032", 3),
    ("s3 without bucket but a path", with_target("{data: 's3:///mail.csv'}"), "E-CONFIG-032", 3),
    ("s3 that steps out", with_target("{data: 's3://bucket/a/../mail.csv'}"), "E-CONFIG-032", 3),
    ("s3 with an empty part", with_target("{data: 's3://bucket/a//mail.csv'}"), "E-CONFIG-032", 3),
    ("s3 with a query", with_target("{data: 's3://bucket/mail.csv?acl'}"), "E-CONFIG-032", 3),
    ("s3 version of a whole bucket", with_target("{data: 's3://bucket?versionId=x'}"), "E-CONFIG-032", 3),
    ("s3 with a user", with_target("{data: 's3://me@bucket/mail.csv'}"), "E-CONFIG-032", 3),
    ("s3 with credentials", with_target("{data: 's3://me:hunter2@bucket/mail.csv'}"), "E-CONFIG-034", 3),
    ("s3 at a metadata address", with_target("{data: 's3://169.254.169.254/mail.csv'}"), "E-CONFIG-033", 3),
    ("s3 in other letters", with_target("{data: 'S3:/bucket/mail.csv'}"), "E-CONFIG-031", 3),
    ("https", with_target("{data: 'https://host/mail.csv'}"), "E-CONFIG-031", 3),
    ("dvc without a path", with_target("{data: 'dvc://'}"), "E-CONFIG-032", 3),
    ("dvc that steps out", with_target("{data: 'dvc://a/../../etc/passwd'}"), "E-CONFIG-032", 3),
    ("dvc that steps out, encoded", with_target("{data: 'dvc://a/%2e%2e/%2e%2e/passwd'}"), "E-CONFIG-032", 3),
    ("dvc with an absolute path", with_target("{data: 'dvc:///etc/passwd'}"), "E-CONFIG-032", 3),
    ("dvc with an option as revision", with_target("{data: 'dvc://mail.csv@--upload-pack=sh'}"), "E-CONFIG-032", 3),
    ("dvc with an option as repository", with_target("{data: 'dvc://mail.csv?repo=--config=x'}"), "E-CONFIG-032", 3),
    ("dvc with a command", with_target("{data: 'dvc://mail.csv?repo=ext::sh -c id'}"), "E-CONFIG-032", 3),
    ("dvc with a command, encoded", with_target("{data: 'dvc://mail.csv?repo=ext%3A%3Ash'}"), "E-CONFIG-032", 3),
    ("dvc with a file URI", with_target("{data: 'dvc://mail.csv?repo=file:///root'}"), "E-CONFIG-032", 3),
    ("dvc with a user", with_target("{data: 'dvc://mail.csv?repo=https://me@host/x'}"), "E-CONFIG-032", 3),
    ("dvc with credentials", with_target("{data: 'dvc://a.csv?repo=https://me:hunter2@host/x'}"), "E-CONFIG-034", 3),
    (
        "the same, encoded",
        with_target("{data: 'dvc://a.csv?repo=https%3A%2F%2Fme%3Ahunter2%40host'}"),
        "E-CONFIG-034",
        3,
    ),
    (
        "dvc at a metadata address",
        with_target("{data: 'dvc://a.csv?repo=http://169.254.169.254/x'}"),
        "E-CONFIG-033",
        3,
    ),
    ("the same by ssh", with_target("{data: 'dvc://a.csv?repo=git@169.254.169.254:x'}"), "E-CONFIG-033", 3),
    ("file URI", with_target("{data: 'file:///etc/passwd'}"), "E-CONFIG-031", 3),
    ("hf model", with_source("hf://org/name@main"), "E-CONFIG-031", 2),
    ("metadata address", with_target("{data: 'http://169.254.169.254/latest/meta-data'}"), "E-CONFIG-033", 3),
    ("metadata address as a number", with_target("{data: 'http://2852039166/x'}"), "E-CONFIG-033", 3),
    ("metadata address in hexadecimal", with_target("{data: 'http://0xA9.0xFE.0xA9.0xFE/x'}"), "E-CONFIG-033", 3),
    ("metadata address in IPv6", with_target("{data: 'http://[::ffff:169.254.169.254]/x'}"), "E-CONFIG-033", 3),
    ("metadata name", with_target("{data: 'http://metadata.google.internal./x'}"), "E-CONFIG-033", 3),
    ("metadata as tracking", good_with("tracking: {uri: 'http://169.254.169.254'}"), "E-CONFIG-033", 4),
    ("model id with ..", with_source("package://pack/../../etc"), "E-CONFIG-032", 2),
    ("model id with newline", with_source('"models:/a\\nb/1"'), "E-CONFIG-012", 2),
    ("model id with ;", with_source('"models:/a;rm -rf"'), "E-CONFIG-037", 2),
    ("folder with ;", with_source('"model; rm -rf"'), "E-CONFIG-037", 2),
    ("registered model without version", with_source("models:/mail"), "E-CONFIG-032", 2),
    ("dotted path in kind", good_with("compute: {kind: os.system}"), "E-CONFIG-020", 4),
    ("dotted path as task", good_with("task: acclimate.cli.main"), "E-CONFIG-024", 4),
    ("10 MB", GOOD + "# x\n" * 2_500_000, "E-CONFIG-002", 1),
    ("one endless line", GOOD + "!" * 900_000, "E-CONFIG-002", 4),
    ("many wrong entries", GOOD + "finetune: {arms: [" + "1, " * 6_000 + "]}\n", "E-CONFIG-024", 4),
    ("very many entries", GOOD + "gap:\n" + "".join(f"  k{i}: 1\n" for i in range(40_000)), "E-CONFIG-013", 10000),
    ("depth", GOOD + "gap: " + "[" * 10_000, "E-CONFIG-013", 4),
    ("threshold above 1", good_with("goal: {at_least: 1.5}"), "E-CONFIG-023", 4),
    ("threshold below 0", good_with("goal: {at_least: -0.1}"), "E-CONFIG-023", 4),
    ("unknown metric", good_with("goal: {metric: f1}"), "E-CONFIG-024", 4),
    ("warm-up longer than training", good_with("finetune: {warmup: 500}"), "E-CONFIG-023", 4),
    ("warm-up as long as training", good_with("finetune: {warmup: 1}"), "E-CONFIG-035", 4),
    ("token as a literal", with_source("hf_abcdefghijklmnopqrstuvwxyz"), "E-CONFIG-034", 2),
    ("AWS key as a literal", good_with("workspace: AKIAIOSFODNN7EXAMPLE"), "E-CONFIG-034", 4),
    ("password in a URI", good_with("tracking: {uri: 'https://me:hunter2@host'}"), "E-CONFIG-034", 4),
    ("signature in a URI", with_target("{data: 'https://h/a.csv?X-Amz-Signature=abc'}"), "E-CONFIG-034", 3),
    ("password as a key", good_with("tracking: {password: hunter2}"), "E-CONFIG-034", 4),
    ("no arms", good_with("finetune: {arms: []}"), "E-CONFIG-035", 4),
    ("an arm twice", good_with("finetune: {arms: [lora, lora]}"), "E-CONFIG-035", 4),
    ("epochs for frozen", good_with("finetune: {max_epochs: {frozen: 3}}"), "E-CONFIG-035", 4),
    ("text is label", with_target("{data: a.csv, text: body, label: body}"), "E-CONFIG-035", 3),
    ("default text is label", with_target("{data: a.csv, label: text}"), "E-CONFIG-035", 3),
    ("split is label", with_target("{data: a.csv, split: label}"), "E-CONFIG-035", 3),
    ("slice is text", with_target("{data: a.csv, text: body, slices: [body]}"), "E-CONFIG-035", 3),
    ("slice hides our own column", with_target("{data: a.csv, slices: [row_id]}"), "E-CONFIG-035", 3),
    ("gain of 1", good_with("goal: {min_gain: 1}"), "E-CONFIG-035", 4),
    ("gain above 1", good_with("goal: {min_gain: 2}"), "E-CONFIG-023", 4),
    ("lower bound of nothing", good_with("goal: {at_least_by: lower}"), "E-CONFIG-035", 4),
    ("requirement below the gain", good_with("goal: {at_least: 0.1, min_gain: 0.5}"), "E-CONFIG-035", 4),
    ("RTL override in a name", GOOD.replace("mail\n", "mail\u202egpj\n"), "E-CONFIG-012", 1),
    ("RTL override by escape", GOOD.replace("name: mail", 'name: "mail\\u202egpj"'), "E-CONFIG-012", 1),
    ("RTL override in a column", with_target("{data: a.csv, label: 'la\u2066bel'}"), "E-CONFIG-012", 3),
    ("RTL override in a comment", GOOD + "# \u202e\n", "E-CONFIG-012", 4),
    ("hidden character in a key", good_with("go\u200bal: {}"), "E-CONFIG-012", 4),
    ("lone surrogate by escape", GOOD.replace("name: mail", 'name: "\\ud800"'), "E-CONFIG-012", 1),
    ("name as a path", GOOD.replace("name: mail", "name: ../mail"), "E-CONFIG-025", 1),
    ("key that is a list", good_with("? [a, b]\n: 1"), "E-CONFIG-014", 4),
    ("several sources", with_source("[a, b]"), "E-CONFIG-030", 2),
    ("no labels", with_target("{data: a.csv, label: null}"), "E-CONFIG-030", 3),
    ("workspace without a bucket", good_with("workspace: 's3://'"), "E-CONFIG-032", 4),
    ("workspace that steps out", good_with("workspace: s3://bucket/../w"), "E-CONFIG-032", 4),
    ("workspace with a version", good_with("workspace: 's3://bucket/w?versionId=1'"), "E-CONFIG-032", 4),
    ("workspace by http", good_with("workspace: http://host/w"), "E-CONFIG-031", 4),
    ("workspace at a metadata address", good_with("workspace: s3://169.254.169.254/w"), "E-CONFIG-033", 4),
    ("model on s3 without a bucket", with_source("'s3://'"), "E-CONFIG-032", 2),
    ("model on s3 that steps out", with_source("s3://bucket/../model"), "E-CONFIG-032", 2),
    ("model by dvc", with_source("dvc://model"), "E-CONFIG-031", 2),
]


def check(error: AcclimateError, exit_code: int, code: str) -> None:
    """What every refusal must have."""
    assert error.exit_code == exit_code
    assert error.code == code
    for problem in error.problems:
        assert re.fullmatch(r"E-(CONFIG|DATA)-\d{3}", problem.code)
        assert problem.message
        assert problem.where
        assert problem.hint
        assert len(problem.message) < 500
        assert not re.search(r"hunter2|AKIA\w{16}|hf_a\w+", f"{problem.message}{problem.where}{problem.hint}")


@pytest.mark.parametrize(("text", "code", "line"), [case[1:] for case in CONFIG], ids=[case[0] for case in CONFIG])
def test_configuration(tmp_path: Path, text: str | bytes, code: str, line: int) -> None:
    path = tmp_path / "adaptation.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    check(caught.value, 2, code)
    if code != "E-CONFIG-013":
        assert caught.value.where == f"{path}:{line}"


def test_no_as_a_label_and_a_bom_are_read(tmp_path: Path) -> None:
    path = tmp_path / "adaptation.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + with_target("{data: a.csv, label: no}").encode())
    assert load_config(path).config.target.label == "no"


@pytest.mark.parametrize("kind", ["missing", "folder", "device"])
def test_a_configuration_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = {"missing": tmp_path / "none.yaml", "folder": tmp_path, "device": Path("/dev/zero")}[kind]
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    check(caught.value, 2, "E-CONFIG-001")


@pytest.mark.parametrize("data", ["../../etc/passwd", "/etc/passwd", "sub/../../x", "link.csv", "a\0b", "loop.csv"])
def test_a_path_outside_the_project(tmp_path: Path, data: str) -> None:
    root = tmp_path / "project"
    (root / "sub").mkdir(parents=True)
    (root / "link.csv").symlink_to("/etc/passwd")
    (root / "loop.csv").symlink_to(root / "loop.csv")
    with pytest.raises((ConfigError, DataError)) as caught:
        resolve_data_path(data, root, root)
    assert caught.value.code in {"E-CONFIG-036", "E-DATA-001"}
    assert data == "loop.csv" or caught.value.code == "E-CONFIG-036"
    check(caught.value, caught.value.exit_code, caught.value.code)


# --- data -------------------------------------------------------------------------------------

ROWS = [(f"message number {i}", ("ham", "spam")[i % 2]) for i in range(300)]
CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
JSONL = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)


def jsonl_with(line: str) -> str:
    """300 good lines and a bad one, line 301."""
    return JSONL + line + "\n"


# what, file, content, code, line
TEXT_DATA: list[tuple[str, str, str | bytes, str, int | None]] = [
    ("0 bytes", "a.csv", b"", "E-DATA-010", None),
    ("header only", "a.csv", "text,label\n", "E-DATA-011", None),
    ("blank lines only", "a.csv", "\n\n\n", "E-DATA-011", None),
    ("a row too long", "a.csv", CSV + "one, two,ham\n", "E-DATA-014", 302),
    ("a row too short", "a.csv", CSV + "one\n", "E-DATA-014", 302),
    ("NUL", "a.csv", CSV + "a\0b,ham\n", "E-DATA-013", 302),
    ("UTF-16 without BOM", "a.csv", CSV.encode("utf-16-le"), "E-DATA-013", 1),
    ("UTF-16", "a.csv", CSV.encode("utf-16"), "E-DATA-012", 1),
    ("semicolons", "a.csv", CSV.replace(",", ";"), "E-DATA-019", 1),
    ("tabs", "a.csv", CSV.replace(",", "\t"), "E-DATA-019", 1),
    ("commas in a TSV", "a.tsv", CSV, "E-DATA-019", 1),
    ("latin-1", "a.csv", (CSV + "café,ham\n").encode("latin-1"), "E-DATA-012", 302),
    ("unclosed quote", "a.csv", CSV + '"never closed,ham\nx,ham\n', "E-DATA-015", 302),
    ("unclosed quote in a long file", "a.csv", CSV + '"never closed,ham\n' + "x,ham\n" * 200_000, "E-DATA-016", 302),
    ("text after a quote", "a.csv", CSV + '"a" b,ham\n', "E-DATA-015", 302),
    ("duplicate column", "a.csv", "text,label,label\na,x,y\n", "E-DATA-017", 1),
    ("label column missing", "a.csv", CSV.replace("label", "lable", 1), "E-DATA-018", 1),
    ("text column missing", "a.csv", CSV.replace("text", "body", 1), "E-DATA-018", 1),
    ("one class", "a.csv", CSV.replace("spam", "ham"), "E-DATA-044", 2),
    ("a class of one row", "a.csv", CSV + "only one,rare\n", "E-DATA-045", None),
    ("empty labels", "a.csv", CSV.replace("spam", ""), "E-DATA-042", 3),
    ("empty texts", "a.csv", re.sub("message number [0-9]*[13579],", ",", CSV), "E-DATA-041", 3),
    ("a field of 2 MB", "a.csv", CSV + "x" * 2_000_000 + ",ham\n", "E-DATA-016", 302),
    ("a line of 9 MB", "a.csv", CSV + "x" * 9_000_000 + ",ham\n", "E-DATA-016", 302),
    ("a label of 2,000 characters", "a.csv", CSV + "a," + "x" * 2_000 + "\n", "E-DATA-016", 302),
    ("labels that are numbers", "a.csv", re.sub("ham|spam", lambda m: str(m.start() / 7), CSV), "E-DATA-046", 2),
    ("conflicting copies", "a.csv", CSV + CSV[11:].replace("spam", "ham"), "E-DATA-043", 3),
    ("a workbook", "a.csv", b"PK\x03\x04" + b"x" * 100, "E-DATA-003", None),
    ("unknown ending", "a.xlsx", b"PK\x03\x04", "E-DATA-003", None),
    ("one bad line", "a.jsonl", jsonl_with('{"text": "a", "label": }'), "E-DATA-020", 301),
    ("cut short", "a.jsonl", jsonl_with('{"text": "a", "lab'), "E-DATA-020", 301),
    ("top-level array", "a.jsonl", json.dumps([{"text": "a", "label": "x"}]), "E-DATA-021", 1),
    ("top-level array over lines", "a.json", '[\n{"text": "a"},\n{"text": "b"}\n]\n', "E-DATA-021", 1),
    ("an array later on", "a.jsonl", jsonl_with('["a", "ham"]'), "E-DATA-021", 301),
    ("one object over lines", "a.json", '{\n"text": "a"\n}\n', "E-DATA-020", 1),
    ("depth 10,000", "a.jsonl", jsonl_with('{"text": ' + "[" * 10_000 + "]" * 10_000 + "}"), "E-DATA-022", 301),
    ("depth 10,000 of objects", "a.jsonl", jsonl_with('{"a":' * 10_000 + "1" + "}" * 10_000), "E-DATA-022", 301),
    ("lone surrogate in a text", "a.jsonl", jsonl_with(r'{"text": "\ud800", "label": "ham"}'), "E-DATA-025", 301),
    ("lone surrogate in a label", "a.jsonl", jsonl_with(r'{"text": "a", "label": "\udfff"}'), "E-DATA-025", 301),
    ("NaN literal", "a.jsonl", jsonl_with('{"text": "a", "label": NaN}'), "E-DATA-023", 301),
    ("Infinity literal", "a.jsonl", jsonl_with('{"text": "a", "x": -Infinity}'), "E-DATA-023", 301),
    ("1e400", "a.jsonl", jsonl_with('{"text": "a", "label": 1e400}'), "E-DATA-023", 301),
    ("number of 5,000 digits", "a.jsonl", jsonl_with('{"text": "a", "label": ' + "9" * 5000 + "}"), "E-DATA-020", 301),
    ("duplicate keys", "a.jsonl", jsonl_with('{"text": "a", "label": "ham", "label": "spam"}'), "E-DATA-024", 301),
    ("nested label", "a.jsonl", jsonl_with('{"text": "a", "label": ["ham"]}'), "E-DATA-026", 301),
    ("number as text", "a.jsonl", jsonl_with('{"text": 7, "label": "ham"}'), "E-DATA-026", 301),
    ("label key missing", "a.jsonl", JSONL.replace('"label"', '"class"'), "E-DATA-018", 1),
    ("latin-1 JSON", "a.jsonl", jsonl_with('{"text": "café", "label": "ham"}').encode("latin-1"), "E-DATA-012", 301),
]


def refused(root: Path, spec: DataSpec) -> AcclimateError:
    """Ingest, expect a refusal, and make sure that nothing was left that looks whole."""
    out = root / "out"
    out.mkdir()
    with pytest.raises(AcclimateError) as caught:
        ingest(spec, None, task="text-classification", root=root, allow_outside=False, out=out, read=read_table)
    assert not (out / DataCard.file_name).exists()
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.arrow"))
    assert not open_under(root), "the file is closed by the refusal, not by the garbage collector"
    return caught.value


def open_under(root: Path) -> list[str]:
    """Files below a folder that this process holds open."""
    handles = Path("/proc/self/fd")
    if not handles.exists():
        return []
    targets = (str(handle.readlink()) for handle in handles.iterdir() if handle.is_symlink())
    return [target for target in targets if target.startswith(str(root))]


@pytest.mark.parametrize(
    ("file", "content", "code", "line"), [case[1:] for case in TEXT_DATA], ids=[case[0] for case in TEXT_DATA]
)
def test_text_data(tmp_path: Path, file: str, content: str | bytes, code: str, line: int | None) -> None:
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    error = refused(tmp_path, DataSpec(data=file))
    check(error, 3, code)
    assert error.where == (file if line is None else f"{file}:{line}")


def accepted(root: Path, content: str, file: str = "a.csv") -> tuple[DataCard, RawTable]:
    (root / file).write_bytes(content.encode())
    (root / "out").mkdir()
    raw = read_table(root / file, text="text", required=["label"], root=root)
    card = ingest(
        DataSpec(data=file),
        DataSpec(data=file),
        task="text-classification",
        root=root,
        allow_outside=False,
        out=root / "out",
        read=read_table,
    )
    return card, raw


def test_formulas_big_numbers_and_mixed_line_ends_are_kept_as_text(tmp_path: Path) -> None:
    rows = "=cmd|' /C calc'!A0,ham\r\n1e400,spam\r\n+1+1,ham\r"
    _, raw = accepted(tmp_path, CSV + rows)
    assert raw.columns["text"][-3:] == ["=cmd|' /C calc'!A0", "1e400", "+1+1"]


def test_target_as_its_own_reference_is_warned_of(tmp_path: Path) -> None:
    card, _ = accepted(tmp_path, CSV)
    assert any("same rows" in warning for warning in card.target.warnings)


def test_given_splits_that_overlap_are_refused(tmp_path: Path) -> None:
    parts = [("train", "validation", "test")[i // 2 % 3] for i in range(300)]
    rows = [f"{text},{label},{part}\n" for (text, label), part in zip(ROWS, parts, strict=True)]
    (tmp_path / "a.csv").write_text("text,label,part\n" + "".join(rows) + "message number 0,ham,test\n")
    check(refused(tmp_path, DataSpec(data="a.csv", split="part")), 3, "E-DATA-048")


# --- Parquet ----------------------------------------------------------------------------------

TABLE = pa.table({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})


def truncated(folder: Path) -> None:
    pq.write_table(TABLE, folder / "a.parquet")
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-9])


def footer_length_lies(folder: Path) -> None:
    pq.write_table(TABLE, folder / "a.parquet")
    (folder / "a.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-8] + b"\xff\xff\xff\x7fPAR1")


def not_parquet(folder: Path) -> None:
    (folder / "a.parquet").write_text(CSV)


def empty_parquet(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(b"")


def no_rows(folder: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), folder / "a.parquet")


def nested_label(folder: Path) -> None:
    pq.write_table(TABLE.set_column(1, "label", [[[name] for _, name in ROWS]]), folder / "a.parquet")


def struct_text(folder: Path) -> None:
    pq.write_table(TABLE.set_column(0, "text", [[{"body": text} for text, _ in ROWS]]), folder / "a.parquet")


def numbers_as_text(folder: Path) -> None:
    pq.write_table(TABLE.set_column(0, "text", [list(range(300))]), folder / "a.parquet")


def dates_as_label(folder: Path) -> None:
    dates = pa.array(range(300), pa.int32()).cast(pa.date32())
    pq.write_table(TABLE.set_column(1, "label", dates), folder / "a.parquet")


def missing_column(folder: Path) -> None:
    pq.write_table(TABLE.rename_columns(["text", "lable"]), folder / "a.parquet")


def not_utf8(folder: Path) -> None:
    raw = pa.array([b"caf\xe9"] * 300, pa.binary())
    texts = pa.StringArray.from_buffers(300, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(TABLE.set_column(0, "text", texts), folder / "a.parquet", store_schema=True)


def encrypted(folder: Path) -> None:
    import pyarrow.parquet.encryption as pe

    class Keys(pe.KmsClient):
        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
            return key_bytes

        def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
            return wrapped_key

    factory = pe.CryptoFactory(lambda _: Keys())
    config = pe.EncryptionConfiguration(footer_key="k", column_keys={"k": ["text", "label"]})
    properties = factory.file_encryption_properties(pe.KmsConnectionConfig(), config)
    with pq.ParquetWriter(folder / "a.parquet", TABLE.schema, encryption_properties=properties) as writer:
        writer.write_table(TABLE)


def repetition_bomb(folder: Path) -> None:
    """1.2 GB of text in a file of some kilobytes."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1300, pa.int32()), pa.array(["x" * 900_000]))
    rows = pa.table({"text": texts, "label": pa.array(["x", "y"] * 650)})
    pq.write_table(rows, folder / "a.parquet", compression="zstd", write_statistics=False)
    assert (folder / "a.parquet").stat().st_size < 100_000


def long_text(folder: Path) -> None:
    pq.write_table(
        TABLE.set_column(0, "text", [["x" * 5_000_000, *TABLE["text"].to_pylist()[1:]]]), folder / "a.parquet"
    )


def drift_of_names(folder: Path) -> None:
    (folder / "parts").mkdir()
    pq.write_table(TABLE, folder / "parts" / "1.parquet")
    pq.write_table(TABLE.rename_columns(["text", "class"]), folder / "parts" / "2.parquet")


def drift_of_types(folder: Path) -> None:
    (folder / "parts").mkdir()
    pq.write_table(TABLE, folder / "parts" / "1.parquet")
    pq.write_table(TABLE.set_column(1, "label", [[i % 2 for i in range(300)]]), folder / "parts" / "2.parquet")


def out_of_range_index(folder: Path) -> None:
    """Dictionary indices beyond the dictionary: the one index run of a column of one value is made to say 5, not 0."""
    rows = pa.table({"text": pa.array(["only this"] * 300), "label": [label for _, label in ROWS]})
    path = folder / "a.parquet"
    pq.write_table(rows, path, compression="none", use_dictionary=["text"], write_statistics=False)
    run = bytes([0x01, 0xD8, 0x04, 0x00])  # bit width 1, a run of 300, its value
    data = path.read_bytes()
    assert data.count(run) >= 1
    path.write_bytes(data.replace(run, bytes([0x08, 0xD8, 0x04, 0x05])))


PARQUET: list[tuple[Callable[[Path], None], str]] = [
    (truncated, "E-DATA-030"),
    (footer_length_lies, "E-DATA-030"),
    (not_parquet, "E-DATA-030"),
    (empty_parquet, "E-DATA-010"),
    (no_rows, "E-DATA-011"),
    (nested_label, "E-DATA-026"),
    (struct_text, "E-DATA-026"),
    (numbers_as_text, "E-DATA-033"),
    (dates_as_label, "E-DATA-033"),
    (missing_column, "E-DATA-018"),
    (not_utf8, "E-DATA-012"),
    (encrypted, "E-DATA-031"),
    (repetition_bomb, "E-DATA-005"),
    (long_text, "E-DATA-016"),
    (drift_of_names, "E-DATA-032"),
    (drift_of_types, "E-DATA-032"),
    (out_of_range_index, "E-DATA-030"),
]


@pytest.mark.parametrize(("build", "code"), PARQUET, ids=[build.__name__ for build, _ in PARQUET])
def test_parquet(tmp_path: Path, build: Callable[[Path], None], code: str) -> None:
    build(tmp_path)
    error = refused(tmp_path, DataSpec(data="parts" if (tmp_path / "parts").exists() else "a.parquet"))
    check(error, 3, code)


def test_a_row_group_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    with pytest.raises(DataError) as caught:
        read_table(
            tmp_path / "a.parquet", text="text", required=["label"], root=tmp_path, limits=Limits(text_chars=1000)
        )
    check(caught.value, 3, "E-DATA-034")


@pytest.mark.parametrize("name", ["pipe", "device", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    import os

    if name == "pipe":
        os.mkfifo(tmp_path / "a.csv")
    elif name == "device":
        (tmp_path / "a.csv").symlink_to("/dev/zero")
    else:
        (tmp_path / "a.csv").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DataError) as caught:
        ingest(
            DataSpec(data="a.csv", format=None if name == "folder" else "csv"),
            None,
            task="text-classification",
            root=tmp_path,
            allow_outside=True,
            out=out,
            read=read_table,
        )
    check(caught.value, 3, "E-DATA-004" if name == "folder" else "E-DATA-002")


def test_a_bad_line_in_a_million_is_found(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("w") as file:
        for i in range(200_000):
            file.write('{"text": "a", "label": "x"}\n' if i != 150_000 else '{"text": "a" "label": "x"}\n')
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / "a.jsonl", text="text", required=["label"], root=tmp_path)
    check(caught.value, 3, "E-DATA-020")
    assert caught.value.where == "a.jsonl:150001"
