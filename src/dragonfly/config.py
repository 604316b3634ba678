"""Configuration: YAML, then `key.sub=value` overrides, then a frozen pydantic model.

Promises: every fault is reported at once, one line each, with the dotted key, and an unknown name comes with the
nearest legal one. YAML is read as the 1.2 core schema, so `1e-4` is a number, `no` is a word, and a key given twice is
a fault. Does not know what is configured: each room subclasses `Config`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeGuard, get_args, get_origin

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


class Config(BaseModel):
    """Base of every configuration section: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def load(cls, path: str | Path | None, overrides: Sequence[str] = (), *, base: dict[str, Any] | None = None) -> Self:
        """Merge `base`, the YAML file at `path` and the `key.sub=value` overrides (later ones win), then validate.

        Raises one ValueError with every fault, one line each; faults of the file begin with its path.
        """
        from_file = {} if path is None else _read(Path(path))
        from_overrides, faults = _parse(overrides)
        data = _merge(_merge(base or {}, from_file), from_overrides)
        try:
            config = cls.model_validate(data)
        except ValidationError as error:
            for key, fault in _faults(error, data, cls):
                in_file = path is not None and _holds(from_file, key) and not _holds(from_overrides, key)
                faults.append(f"{path}: {fault}" if in_file else fault)
        else:
            if not faults:
                return config
        raise ValueError(_joined(faults)) from None


def dump(config: Config) -> str:
    """YAML text that `type(config).load` reads back to an equal configuration."""
    return yaml.dump(config.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """`["a.b=1", "c=[x, y]"]` -> `{"a": {"b": 1}, "c": ["x", "y"]}`; values are YAML, a repeated key's last value wins.

    Raises one ValueError naming every override that is not `key=value`.
    """
    values, faults = _parse(overrides)
    if faults:
        raise ValueError(_joined(faults))
    return values


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


def _parse(overrides: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    faults: list[str] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            faults.append(f"override {override!r} is not of the form key=value or key.sub=value")
            continue
        try:
            value = _parse_yaml(text)
        except ValueError as error:
            faults.append(f"override {override!r}: {error}")
            continue
        for part in reversed(parts):
            value = {part: value}
        values = _merge(values, value)
    return values, faults


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge key by key; anything else in `over` replaces what `under` has."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if _is_tree(below) and _is_tree(value) else value
    return merged


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
            for leaf in _leaves(key, given):
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
    """The user's own key: pydantic's location also holds the names of union members, which nobody typed."""
    parts: list[str] = []
    for step in location:
        try:
            data = data[step]
        except (LookupError, TypeError):
            if not (kind == "missing" and step == location[-1]):
                continue
        parts.append(str(step))
    return ".".join(parts)


def _leaves(key: str, value: Any) -> Iterator[str]:
    if _is_tree(value) and value:
        for name, below in value.items():
            yield from _leaves(f"{key}.{name}", below)
    else:
        yield key
