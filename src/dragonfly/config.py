"""Configuration: YAML, then `key.sub=value` overrides, then a frozen pydantic model.

Promises: every fault is reported at once, one line each, with the dotted key, and an unknown name comes with the
nearest legal one. YAML is read as the 1.2 core schema, so `1e-4` is a number, `no` is a word, and a key given twice is
a fault. No override vanishes: their order does not matter, and two that contradict each other are a fault that names both.
Does not know what is configured: each room subclasses `Config`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeGuard, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

_CORE_SCHEMA = (  # tag, pattern, first characters: https://yaml.org/spec/1.2.2/#103-core-schema
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", [*"-+.0123456789"]),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", [*"-+."]),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own class attribute, emptied before refilling

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:  # pyright: ignore[reportUnknownVariableType]
            key: Any = self.construct_object(key_node, deep=True)  # pyright: ignore
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is not text", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # Unquoted, PyYAML writes these line separators as they are and folds them to spaces when it reads them back.
        style = '"' if any(character in data for character in "\x85\u2028\u2029") else None
        return self.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
            "tag:yaml.org,2002:str", data, style
        )


_Dumper.add_representer(str, _Dumper.represent_str)
for _tag, _pattern, _first in _CORE_SCHEMA:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
        )


Key = tuple[str, ...]
ENTRY_NAMES = ("name", "step")
"""What an entry of a list goes by in an override (`data.train.mix.passes=2`): the first of these that it has as text."""


class Assignment(NamedTuple):
    """`key=value` in its parts; `typed` is what the user wrote, or the file, for messages."""

    key: Key
    value: Any
    typed: str


class Config(BaseModel):
    """Base of every configuration section: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def spelled_out(cls, key: Key, value: Any) -> list[tuple[Key, Any]]:
        """What `key: value` stands for, in a file or an override, where a section has a short form; else just that.

        An empty mapping empties what it is assigned to.
        """
        return [(key, value)]

    @classmethod
    def load(cls, path: str | Path | None, overrides: Sequence[str] = (), *, base: dict[str, Any] | None = None) -> Self:
        """Put the YAML file at `path` over `base` and the `key.sub=value` overrides over both, then validate.

        Mappings merge key by key, entries of a list are changed by name, anything else is replaced.
        Raises one ValueError with every fault, one line each; faults of the file begin with its path.
        """
        from_file = {} if path is None else _read(Path(path))
        given, faults = _parse(overrides)
        changes = cls._spelled_out(given)
        pairs = {frozenset((one.typed, other.typed)): None for one, other in combinations(changes, 2) if _contradict(one, other)}
        for one, other in (sorted(pair, key=list(overrides).index) for pair in pairs):
            faults.append(f"overrides {one!r} and {other!r} contradict each other; keep one")
        layers = [Assignment((), base or {}, "base"), Assignment((), from_file, str(path))]
        before, file_faults = _assigned(_assigned({}, cls._spelled_out(layers[:1]))[0], cls._spelled_out(layers[1:]))
        changes.sort(key=_wholes_first)
        data, override_faults = _assigned(before, changes)
        faults += [*file_faults, *override_faults]
        try:
            config = cls.model_validate(data)
        except ValidationError as error:
            overridden, _ = _assigned({}, changes)
            for key, fault in _faults(error, data, cls):
                in_file = path is not None and _holds(from_file, key) and not _holds(overridden, key)
                faults.append(f"{path}: {fault}" if in_file else fault)
        else:
            if not faults:
                return config
        raise ValueError(_joined(faults)) from None

    @classmethod
    def _spelled_out(cls, assignments: Iterable[Assignment]) -> list[Assignment]:
        """One assignment for each leaf; what stands for something else comes last, when that is in its place."""
        leaves = [(one.typed, key, value) for one in assignments for key, value in _leaves(one.key, one.value)]
        spelled = [(key, Assignment(*full, typed)) for typed, key, value in leaves for full in cls.spelled_out(key, value)]
        return [one for _, one in sorted(spelled, key=lambda pair: pair[0] != pair[1].key)]


def dump(config: Config) -> str:
    """YAML text that `type(config).load` reads back to an equal configuration."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def nearest(name: str, legal: Iterable[str]) -> str:
    """One sentence saying that `name` is not legal, what is, and which legal name it resembles, if any."""
    names = list(legal)
    return f"{name!r} is not one of: {', '.join(names)}{_suggestion(name, names)}"


def shipped_files(folder: Path) -> dict[str, Path]:
    """The YAML files below a folder of the package, by name: the path in it without `.yaml`, in order."""
    found = {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.rglob("*.yaml")}
    return dict(sorted(found.items()))


def shipped_file(name: str | Path, shipped: Mapping[str, Path], what: str) -> Path:
    """The file that a user means: a path, or the name of a `what` (recipe, study, ...) of the package.

    A name with YAML's suffix is a path, whether or not a file is there. ValueError with the nearest name.
    """
    path = Path(name)
    if path.is_file() or path.suffix in (".yaml", ".yml"):
        return path
    if str(name) in shipped:
        return shipped[str(name)]
    raise ValueError(f"no {what} file, and no shipped {what} of that name: {nearest(str(name), shipped)}")


def _is_tree(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _suggestion(name: str, legal: Iterable[str], cutoff: float = 0.5) -> str:
    close = get_close_matches(name, legal, n=1, cutoff=cutoff)
    return f"; did you mean {close[0]!r}?" if close else ""


def _joined(faults: list[str]) -> str:
    return faults[0] if len(faults) == 1 else "\n".join([f"{len(faults)} faults:", *faults])


def _read(path: Path) -> dict[str, Any]:
    try:
        data = _parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); name an existing YAML file") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if data is None:
        return {}
    if not _is_tree(data):
        raise ValueError(f"{path}: holds a {type(data).__name__}, not `key: value` lines")
    return data


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        place = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"not valid YAML: {error.problem}{place}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None


def _parse(overrides: Iterable[str]) -> tuple[list[Assignment], list[str]]:
    assignments: list[Assignment] = []
    faults: list[str] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = tuple(key.strip().split("."))
        if not equals or not all(parts):
            faults.append(f"override {override!r} is not of the form key=value or key.sub=value")
            continue
        try:
            assignments.append(Assignment(parts, _parse_yaml(text), override))
        except ValueError as error:
            faults.append(f"override {override!r}: {error}")
    return assignments, faults


def _contradict(one: Assignment, other: Assignment) -> bool:
    """Whether two overrides cannot both hold: two values of one key, or a value and a part of what it replaces."""
    if one.typed == other.typed:
        return False
    if len(one.key) > len(other.key):
        one, other = other, one
    if other.key[: len(one.key)] != one.key:
        return False
    below = other.key[len(one.key) :]
    if not below:
        return _differ(one.value, other.value)
    if _is_list(one.value):  # a part of an entry may be added to it
        entry = [item for item in one.value if _entry_name(item) == below[0]]
        held = _at(entry[0], below[1:]) if len(entry) == 1 else None
        return held is not None and _differ(held, other.value)
    return one.value != {}


def _wholes_first(one: Assignment) -> tuple[int, bool, Key]:
    """The order in which overrides are put: an entry is renamed after its other parts have found it."""
    return len(one.key), one.key[-1] in ENTRY_NAMES, one.key


def _differ(one: Any, other: Any) -> bool:
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def _assigned(tree: dict[str, Any], assignments: Iterable[Assignment]) -> tuple[dict[str, Any], list[str]]:
    """`tree` with all assignments in their order, and the faults of those that find no place."""
    faults: list[str] = []
    for key, value, typed in assignments:
        try:
            tree = _put(tree, key, value)
        except ValueError as error:
            faults.append(f"{typed}: {error}")
    return tree, faults


def _put(under: Any, key: Key, value: Any, above: Key = ()) -> Any:
    """`under` with `value` at `key`. An entry of a list goes by its name; what has no parts gives way to a mapping."""
    if not key:
        return value
    first, below = key[0], (*above, key[0])
    if not _is_list(under):
        tree = under if _is_tree(under) else {}
        return {**tree, first: _put(tree.get(first), key[1:], value, below)}
    names, where = [_entry_name(entry) for entry in under], ".".join(above)
    if names.count(first) > 1:
        raise ValueError(f"{where} has {names.count(first)} entries {first!r}; give the whole list")
    if first not in names:
        named = [name for name in names if name is not None]
        raise ValueError(f"{where}: {nearest(first, named)}" if named else f"{where} has no named entries; give the whole list")
    if not key[1:]:
        raise ValueError(f"{where}.{first} has parts; change one ({where}.{first}.KEY=...), or give the whole list")
    return [_put(entry, key[1:], value, below) if name == first else entry for entry, name in zip(under, names, strict=True)]


def _entry_name(entry: Any) -> str | None:
    names = [entry[key] for key in ENTRY_NAMES if isinstance(entry.get(key), str)] if _is_tree(entry) else []
    return names[0] if names else None


def _at(data: Any, key: Key) -> Any:
    """The value at `key` in nested mappings, None where there is none."""
    for part in key:
        data = data.get(part) if _is_tree(data) else None
    return data


def _holds(data: Any, key: str) -> bool:
    for part in key.split("."):
        if _is_tree(data):
            if part not in data:
                return False
            data = data[part]
    return True


def _faults(error: ValidationError, data: Any, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """(dotted key, sentence) of everything pydantic found."""
    legal = sorted(set(_legal_keys(model)))
    for fault in error.errors(include_url=False):
        key, given, kind = _dotted(fault["loc"], data, fault["type"]), fault["input"], fault["type"]
        if kind == "extra_forbidden":
            for parts, _ in _leaves((key,), given):
                leaf = ".".join(parts)
                yield leaf, f"unknown key {leaf!r}{_hint(leaf, legal)}"
        elif kind == "missing":
            yield key, f"missing key {key!r}"
        elif kind == "literal_error":
            legal_values = re.findall(r"'([^']*)'", fault["msg"])  # "Input should be 'v1', 'v2' or 'v3'"
            yield key, f"{key}: {nearest(str(given), legal_values)}"
        else:
            message = _in_our_words(fault["msg"])
            yield key, f"{key}: {message} (got {given!r:.80})" if key else message


def _in_our_words(message: str) -> str:
    """pydantic's sentence as we would say it: `must be an integer`."""
    message = message.removeprefix("Value error, ").replace("Input should be", "must be")
    message = re.sub(r"a valid dictionary or instance of \w+", "a table of keys", message)
    message = re.sub(r", unable to parse string as an? \w+", "", message)
    message = re.sub(r"\ba valid (?=[aeiou])", "an ", message)
    return re.sub(r"\ba valid ", "a ", message)


def _hint(key: str, legal: list[str]) -> str:
    """The nearest name in the same section, else anywhere, else everything that the nearest real section knows."""
    if key in legal:  # of another member of a union
        return f"; it goes with another {key.partition('.')[0]!r} than this; leave it out of a copy of the file"
    section, _, last = key.rpartition(".")
    here = {name.rpartition(".")[2]: name for name in legal if name.rpartition(".")[0] == section}
    if close := get_close_matches(last, here, n=1, cutoff=0.5):
        return f"; did you mean {here[close[0]]!r}?"
    # A section's own name resembles every key in it and helps nobody.
    elsewhere = [name for name in legal if not key.startswith(f"{name}.")]
    while section and section not in legal:
        section = section.rpartition(".")[0]
    known = ", ".join(name for name in legal if name.rpartition(".")[0] == section)
    return _suggestion(key, elsewhere, cutoff=0.75) or f"; known here: {known}"


def _legal_keys(annotation: Any, prefix: str = "") -> Iterator[str]:
    """Dotted names of every field below a type; an element of a list or dict is written `*`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield prefix + name
            yield from _legal_keys(field.annotation, f"{prefix}{name}.")
        return
    inner = f"{prefix}*." if get_origin(annotation) in (list, tuple, dict) else prefix
    for argument in get_args(annotation):
        yield from _legal_keys(argument, inner)


def _dotted(location: tuple[int | str, ...], data: Any, kind: str) -> str:
    """The user's own key: entries by their names; a location also holds names of union members, which nobody typed."""
    parts: list[str] = []
    for step in location:
        try:
            data = data[step]
        except (LookupError, TypeError):
            if not (kind == "missing" and step == location[-1]):
                continue
        parts.append((isinstance(step, int) and _entry_name(data)) or str(step))
    return ".".join(parts)


def _leaves(key: Key, value: Any) -> Iterator[tuple[Key, Any]]:
    """Everything below `value` that is no mapping, or an empty one, with its key."""
    if _is_tree(value) and (value or not key):
        for name, below in value.items():
            yield from _leaves((*key, name), below)
    else:
        yield key, value
