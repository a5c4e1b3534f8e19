"""YAML text to plain values with the line of each key: YAML 1.2 scalars, and no object is ever constructed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from acclimate.errors import Problem

NodePath = tuple[str | int, ...]
Place = Callable[[int], str]

MAX_BYTES = 1_000_000
MAX_LINE = 20_000
MAX_DEPTH = 24
MAX_EVENTS = 20_000

_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"(?P<infinite>[-+]?\.(inf|Inf|INF))|\.(nan|NaN|NAN)")
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Invisible or direction-changing characters, and all controls but tab and line ends.
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028\u2029\u2060\ufeff{_BIDI}\ud800-\udfff]")
_IN_VALUE = re.compile(f"[\t\n\r]|{_HIDDEN.pattern}")
_MASK = "\ufffd"


@dataclass
class Document:
    """What one YAML text says.

    Args:
        value: plain dicts, lists, strings, numbers, booleans and None; None when the text is unusable.
        lines: line of each key and item, counted from 1, by its path.
        unusable: paths whose value was refused already; nothing more need be said about them.
        problems: everything that is wrong, with the line.
    """

    value: Any = None
    lines: dict[NodePath, int] = field(default_factory=dict)
    unusable: set[NodePath] = field(default_factory=set)
    problems: list[tuple[int, Problem]] = field(default_factory=list)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """Resolve an unquoted scalar by YAML 1.2's core rules: ``no`` and ``2024-01-01`` are text, ``1e-4`` is a number."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) and len(text) <= 18:
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    if match := _NOT_FINITE.fullmatch(text):
        infinite = match["infinite"]
        return float(infinite.replace(".", "")) if infinite else float("nan")
    return text


def decode_yaml(data: bytes, name: str) -> tuple[str, list[Problem]]:
    """Decode a file's bytes: UTF-8, with or without BOM.

    Returns:
        The text and, where it can't be read at all, an empty text and the problem.
    """
    first = f"{name}:1"
    if len(data) > MAX_BYTES:
        hint = "an adaptation.yaml has some dozen lines: is this the data file?"
        return "", [Problem("E-CONFIG-002", f"the file is larger than {MAX_BYTES:,} bytes", first, hint)]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:1000]:
        return "", [Problem("E-CONFIG-003", "the file is UTF-16, not UTF-8", first, "save it as UTF-8")]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        place = f"{name}:{data.count(bytes([10]), 0, error.start) + 1}"
        message = f"byte {error.start:,} (0x{data[error.start]:02x}) is not UTF-8"
        return "", [Problem("E-CONFIG-003", message, place, "save it as UTF-8")]


def parse_yaml(text: str, place: Place) -> Document:
    """Read one YAML document.

    Args:
        text: the YAML.
        place: how a line, counted from 1, is shown to the user.

    Returns:
        The document; its ``problems`` hold everything that was refused: tags, anchors and aliases, duplicate keys,
        several documents, tabs, hidden characters, too deep or too many nodes, and syntax errors.
    """
    builder = _Builder(place)
    if builder.refuse_long_lines(text):
        return builder.document
    text = builder.mask_hidden(text)
    builder.refuse_tabs(text)
    if not builder.document.problems or _MASK in text:
        builder.build(text)
    return builder.document


class _Frame:
    """A mapping or sequence that is being read."""

    def __init__(self, value: dict[str, Any] | list[Any], path: NodePath) -> None:
        self.value = value
        self.path = path
        self.key: str | None = None
        self.discards = False

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None

    def child_path(self) -> NodePath:
        return (*self.path, self.key or "" if isinstance(self.value, dict) else len(self.value))


class _Builder:
    """Builds plain values from the parser's events, with a stack instead of recursion."""

    def __init__(self, place: Place) -> None:
        self.document = Document()
        self._place = place
        self._stack: list[_Frame] = []

    def refuse(self, code: str, message: str, line: int, hint: str) -> None:
        self.document.problems.append((line, Problem(code, message, self._place(line), hint)))

    def refuse_long_lines(self, text: str) -> bool:
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > MAX_LINE:
                self.refuse("E-CONFIG-002", f"a line is longer than {MAX_LINE:,} characters", number, "shorten it")
                return True
        return False

    def mask_hidden(self, text: str) -> str:
        for number, line in enumerate(text.split("\n"), 1):
            if match := _HIDDEN.search(line):
                self._refuse_character(match[0], number)
        return _HIDDEN.sub(_MASK, text)

    def _refuse_character(self, character: str, line: int) -> None:
        name = unicodedata.name(character, "a control character")
        message = f"hidden character U+{ord(character):04X} ({name}) is not allowed"
        self.refuse("E-CONFIG-012", message, line, "delete it; text that reads differently than it is can deceive")

    def refuse_tabs(self, text: str) -> None:
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line[: len(line) - len(line.lstrip())]:
                self.refuse("E-CONFIG-005", "a tab is used to indent", number, "indent with spaces")

    def build(self, text: str) -> None:
        try:
            self._read(YAML(typ="safe", pure=True).parse(text))
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            what = getattr(error, "problem", None) or getattr(error, "context", None) or "it can't be read"
            line = 1 if mark is None else mark.line + 1
            hint = "check the indentation, the colon after each key, and quotes around text with : # @ or brackets"
            self.refuse("E-CONFIG-004", f"not valid YAML: {what}", line, hint)
            self.document.value = None

    def _read(self, events: Iterator[Event]) -> None:
        documents = 0
        for count, event in enumerate(events):
            line = event.start_mark.line + 1
            if count > MAX_EVENTS or len(self._stack) > MAX_DEPTH:
                hint = "an adaptation.yaml has some dozen keys, three levels deep"
                self.refuse("E-CONFIG-013", "too deeply nested, or too many entries", line, hint)
                self.document.value = None
                return
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    hint = "one file describes one adaptation: delete what follows ---"
                    self.refuse("E-CONFIG-008", "the file holds more than one document", line, hint)
                    return
            self._take(event, line)

    def _take(self, event: Event, line: int) -> None:
        if isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            frame = self._stack.pop()
            if frame.discards:
                self._add_key(None, line)
            return
        if not isinstance(event, NodeEvent):
            return
        self._refuse_specials(event, line)
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._open({} if isinstance(event, MappingStartEvent) else [], line)
        elif isinstance(event, ScalarEvent):
            self._scalar(event, line)
        else:
            self._add(None, line)

    def _path(self) -> NodePath:
        return self._stack[-1].child_path() if self._stack else ()

    def _refuse_specials(self, event: NodeEvent, line: int) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = str(tag).replace("tag:yaml.org,2002:", "!!")[:60]
            self.refuse("E-CONFIG-009", f"the tag {shown} is not allowed", line, "write the plain value")
        elif isinstance(event, AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, AliasEvent) else "&"
            message = f"anchors and aliases ({sign}{event.anchor}) are not allowed"
            self.refuse("E-CONFIG-010", message[:120], line, "write the value out in each place")
        else:
            return
        self.document.unusable.add(self._path())

    def _open(self, value: dict[str, Any] | list[Any], line: int) -> None:
        is_key = bool(self._stack) and self._stack[-1].wants_key
        path = self._path()
        if not is_key:
            self._add(value, line)
        frame = _Frame(value, path)
        frame.discards = is_key
        self._stack.append(frame)

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        text = str(event.value)
        if self._stack and self._stack[-1].wants_key:
            self._add_key(text, line)
            return
        if match := _IN_VALUE.search(text):
            self._refuse_character(match[0], line)
        if match or _MASK in text:
            self.document.unusable.add(self._path())
        self._add(plain_scalar(text) if event.implicit[0] and event.style is None else text, line)

    def _add_key(self, key: str | None, line: int) -> None:
        frame = self._stack[-1]
        if key is None:
            self.refuse("E-CONFIG-014", "a key must be text", line, "write `key: value`")
        elif match := _IN_VALUE.search(key):
            self._refuse_character(match[0], line)
        elif isinstance(frame.value, dict) and key in frame.value:
            first = self.document.lines[(*frame.path, key)]
            message = f"the key {key[:60]!r} is there twice, first in line {first}"
            self.refuse("E-CONFIG-011", message, line, "keep one of them")
        else:
            frame.key = key
            self.document.lines[(*frame.path, key)] = line
            return
        # A name that no schema has keeps the value out of the way and away from the first one.
        frame.key = f"\0{line}"
        self.document.unusable.add((*frame.path, frame.key))

    def _add(self, value: Any, line: int) -> None:
        if not self._stack:
            self.document.value = value
            self.document.lines.setdefault((), line)
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            self.document.lines[(*frame.path, len(frame.value))] = line
            frame.value.append(value)
            return
        if frame.key is None:  # an alias in the place of a key
            self._add_key(None, line)
        elif not frame.key.startswith("\0"):
            frame.value[frame.key] = value
            frame.key = None
        else:
            frame.key = None
