from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.adapters.licences import SPDX
from acclimate.core.licences import OWN, Grade, grade, is_known, together
from acclimate.report.spdx import IDS


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        (OWN, Grade.PUBLIC),
        ("CC0-1.0", Grade.PUBLIC),
        ("MIT", Grade.PERMISSIVE),
        ("apache-2.0", Grade.PERMISSIVE),
        ("BSD-3-Clause", Grade.PERMISSIVE),
        ("CC-BY-4.0", Grade.PERMISSIVE),
        ("LGPL-2.1-or-later", Grade.WEAK_COPYLEFT),
        ("CC-BY-SA-4.0", Grade.WEAK_COPYLEFT),
        ("GPL-2.0+", Grade.COPYLEFT),
        ("AGPL-3.0-only", Grade.COPYLEFT),
        ("CC-BY-NC-4.0", Grade.NON_COMMERCIAL),
        ("CC-BY-NC-SA-4.0", Grade.NON_COMMERCIAL),
        ("CDLA-Permissive-2.0", Grade.PERMISSIVE),
        ("CDLA-Sharing-1.0", Grade.WEAK_COPYLEFT),
        ("EUPL-1.2", Grade.COPYLEFT),
        ("OpenRAIL", Grade.USE_RESTRICTED),
        ("openrail++", Grade.USE_RESTRICTED),
        ("creativeml-openrail-m", Grade.USE_RESTRICTED),
        ("bigscience-bloom-rail-1.0", Grade.USE_RESTRICTED),
        ("CC-BY-ND-4.0", Grade.USE_RESTRICTED),
        ("OpenRAIL AND MIT", Grade.USE_RESTRICTED),
        ("llama3", Grade.UNKNOWN),
        ("openrail-like", Grade.UNKNOWN),
        # each of them begins with the name of a free one
        ("mit-style, non-commercial only", Grade.UNKNOWN),
        ("MIT-style", Grade.UNKNOWN),
        ("Apache-2.0 with changes of ours", Grade.UNKNOWN),
        ("MIT AND GPL-3.0-only", Grade.COPYLEFT),
        ("Apache-2.0 AND CC-BY-NC-4.0", Grade.NON_COMMERCIAL),
        ("GPL-3.0-only OR MIT", Grade.PERMISSIVE),
        ("MIT AND (GPL-3.0-only OR MPL-2.0)", Grade.WEAK_COPYLEFT),
        # AND binds more closely
        ("MIT OR MIT AND GPL-3.0-only", Grade.PERMISSIVE),
        ("GPL-2.0-only WITH Classpath-exception-2.0", Grade.COPYLEFT),
        ("(MIT", Grade.UNKNOWN),
        ("MIT)", Grade.UNKNOWN),
        ("MIT AND", Grade.UNKNOWN),
        ("()", Grade.UNKNOWN),
        ("GPL-2.0-only WITH", Grade.UNKNOWN),
        (" ", Grade.UNKNOWN),
        ("(" * 10_000, Grade.UNKNOWN),
    ],
)
def test_what_a_licence_asks_for(licence: str, expected: Grade) -> None:
    assert grade(licence) == expected


@pytest.mark.parametrize("licence", sorted({*SPDX.values(), *IDS.values()}))
def test_every_licence_that_is_known_by_name_is_graded(licence: str) -> None:
    assert is_known(licence)


@pytest.mark.parametrize(("licence", "expected"), [(None, False), ("", False), ("llama3", False), (OWN, True)])
def test_what_nobody_stated_or_nobody_knows_is_unknown(licence: str | None, expected: bool) -> None:
    assert is_known(licence) is expected


def joined(parts: tuple[str, str, str]) -> str:
    return f"({parts[0]}) {parts[1]} ({parts[2]})"


known = st.sampled_from(["CC0-1.0", "MIT", "MPL-2.0", "GPL-3.0-only", "CC-BY-NC-4.0", "own-terms"])
expressions = st.recursive(known, lambda part: st.tuples(part, st.sampled_from(["AND", "OR"]), part).map(joined))


@given(expressions, expressions)
def test_and_is_the_most_restrictive_and_or_the_freest(a: str, b: str) -> None:
    assert grade(f"({a}) AND ({b})") == max(grade(a), grade(b))
    assert grade(f"({a}) OR ({b})") == min(grade(a), grade(b))


@given(st.text(max_size=60))
def test_any_text_has_a_grade(text: str) -> None:
    assert grade(text) in Grade


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["MIT"], "MIT"),
        (["MIT", OWN, "mit"], "MIT"),
        ([OWN, OWN], OWN),
        (["Apache-2.0", "CC-BY-NC-4.0", OWN], "Apache-2.0 AND CC-BY-NC-4.0"),
        (["MIT OR GPL-3.0-only", "MIT"], "(MIT OR GPL-3.0-only) AND MIT"),
        (["MIT", None], None),
        ([], OWN),
    ],
)
def test_what_is_made_from_several_asks_for_what_each_does(parts: list[str | None], expected: str | None) -> None:
    assert together(parts) == expected


@given(st.lists(st.sampled_from(["MIT", "GPL-3.0-only", "CC-BY-NC-4.0", "MIT OR GPL-3.0-only", OWN]), min_size=1))
def test_the_whole_is_as_restrictive_as_its_most_restrictive_part(parts: list[str]) -> None:
    whole = together(list(parts))
    assert whole is not None
    assert grade(whole) == max(grade(part) for part in parts)
    # a chain: what was made of it, together with more
    assert grade(together([whole, "MPL-2.0"]) or "") == max(grade(whole), Grade.WEAK_COPYLEFT)
