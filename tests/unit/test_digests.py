import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate import digests
from acclimate.digests import code_digest, data_digest, file_digest

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(content)
    assert file_digest(tmp_path / "f") == hashlib.sha256(content).hexdigest()


@given(plain)
def test_equal_data_have_equal_digests(data):
    assert data_digest(data) == data_digest(json.loads(json.dumps(data)))


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_count(data):
    assert data_digest(data) == data_digest(dict(reversed(data.items())))


def test_different_data_have_different_digests():
    assert len({data_digest(value) for value in (1, "1", [1], {"1": 1}, None, True, "", [])}) == 8


def test_data_that_is_no_number_has_no_digest():
    with pytest.raises(ValueError, match="not JSON compliant"):
        data_digest(float("nan"))


def test_the_code_of_a_stage_includes_what_it_imports():
    stages = {name: code_digest(f"acclimate.stages.{name}") for name in ("ingest", "gap", "baseline", "decide")}
    assert len(set(stages.values())) == 4
    assert stages["gap"] == code_digest("acclimate.stages.gap")


def test_a_change_below_a_module_changes_its_digest(tmp_path):
    package = tmp_path / "acclimate"
    (package / "core").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "core" / "__init__.py").write_text("")
    (package / "stage.py").write_text("def f():\n    from acclimate.core import sums\n    return sums\n")
    script = "from acclimate.digests import code_digest; print(code_digest('acclimate.stage'))"
    (package / "digests.py").write_bytes(Path(digests.__file__).read_bytes())

    def digest():
        run = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    (package / "core" / "sums.py").write_text("x = 1\n")
    before = digest()
    (package / "core" / "unrelated.py").write_text("y = 1\n")
    assert digest() == before
    (package / "core" / "sums.py").write_text("x = 2\n")
    assert digest() != before
