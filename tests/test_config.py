"""YAML and overrides become a frozen configuration, or one error with every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from dragonfly.config import Config, dump, nearest, parse_overrides, shipped_file, shipped_files


class Selection(Config):
    policy: Literal["similarity", "random", "uniform"] = "similarity"
    k: int = 3


class Model(Config):
    preset: Literal["v1", "v2"] = "v2"
    selection: Selection = Selection()


class Part(Config):
    name: str
    weight: float = 1.0


class Recipe(Config):
    model: Model = Model()
    parts: tuple[Part, ...] = ()
    rate: float = 1e-3
    trainer: dict[str, Any] = Field(default_factory=dict)
    note: str | None = None
    extra: Selection | None = None

    @field_validator("rate")
    @classmethod
    def positive(cls, rate: float) -> float:
        if rate <= 0:
            raise ValueError("must be above 0")
        return rate


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_wins_over_the_base_and_overrides_win_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, "rate: 0.2\nmodel:\n  selection: {k: 5}\n")
    base = {"rate": 0.1, "note": "base", "model": {"preset": "v1", "selection": {"k": 1, "policy": "uniform"}}}
    config = Recipe.load(path, ["model.selection.k=7", "parts=[{name: a}, {name: b, weight: 2}]"], base=base)
    assert (config.rate, config.note, config.model.preset) == (0.2, "base", "v1")
    assert (config.model.selection.k, config.model.selection.policy) == (7, "uniform")
    assert config.parts == (Part(name="a"), Part(name="b", weight=2.0))
    assert base["model"]["selection"] == {"k": 1, "policy": "uniform"}


def test_no_file_and_an_empty_file_give_the_defaults(tmp_path: Path) -> None:
    assert Recipe.load(None) == Recipe.load(written(tmp_path, "# nothing\n")) == Recipe()


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().rate = 2.0  # pyright: ignore[reportAttributeAccessIssue]


def test_an_unknown_key_comes_with_the_nearest_name() -> None:
    with pytest.raises(ValueError) as error:
        Recipe.load(None, ["model.selction.policy=random"])
    assert str(error.value) == "unknown key 'model.selction.policy'; did you mean 'model.selection.policy'?"


def test_a_key_in_the_wrong_section_is_found() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'selection\.policy'; did you mean 'model\.selection\.policy'\?"):
        Recipe.load(None, ["selection.policy=random"])


def test_a_key_like_no_other_lists_what_is_known_there() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'model\.zzz'; known here: model\.preset, model\.selection$"):
        Recipe.load(None, ["model.zzz=1"])


def test_all_faults_are_reported_at_once_and_those_of_the_file_name_it(tmp_path: Path) -> None:
    path = written(tmp_path, "rte: 1\nparts:\n- {name: a}\n- {weight: heavy}\nrate: -1\n")
    with pytest.raises(ValueError) as error:
        Recipe.load(path, ["model.preset=v3", "no equals sign", "rate=0"])
    assert str(error.value).splitlines() == [
        "6 faults:",
        "override 'no equals sign' is not of the form key=value or key.sub=value",
        "model.preset: 'v3' is not one of: v1, v2; did you mean 'v2'?",
        f"{path}: missing key 'parts.1.name'",
        f"{path}: parts.1.weight: must be a number (got 'heavy')",
        "rate: must be above 0 (got 0)",
        f"{path}: unknown key 'rte'; did you mean 'rate'?",
    ]


def test_an_unknown_key_in_a_list_and_in_an_optional_section() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'parts\.0\.nme'; did you mean 'parts\.\*\.name'\?"):
        Recipe.load(None, ["parts=[{name: a, nme: b}]"])
    with pytest.raises(ValueError, match=r"unknown key 'extra\.polcy'; did you mean 'extra\.policy'\?"):
        Recipe.load(None, ["extra.polcy=random"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: [1\nb: 2\n", r"recipe\.yaml: not valid YAML: .* \(line 2\)$"),
        ("rate: 1\nrate: 2\n", r"recipe\.yaml: not valid YAML: key 'rate' is given twice \(line 2\)$"),
        ("1: x\n", r"recipe\.yaml: not valid YAML: key 1 is not text \(line 1\)$"),
        ("- rate\n", r"recipe\.yaml: holds a list, not `key: value` lines$"),
        ("rate: \x01\n", r"recipe\.yaml: not valid YAML: .*"),
        ("!!python/object:os.system {}\n", r"recipe\.yaml: not valid YAML: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as error:
        Recipe.load(written(tmp_path, text))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.yaml: cannot be read \(No such file or directory\)"):
        Recipe.load(tmp_path / "absent.yaml")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(b"note: \xff\xfe\n")
    with pytest.raises(ValueError, match=r"recipe\.yaml: .*utf-8"):
        Recipe.load(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5e3", 1500.0),
        ("-2", -2),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("null", None),
        ("", None),
        ("[a, 1, 2.5]", ["a", 1, 2.5]),
        ("no", "no"),
        ("on", "on"),
        ("007", "007"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("a=b", "a=b"),
        ("'1'", "1"),
        (".inf", float("inf")),
    ],
)
def test_values_are_read_as_yaml_1_2(text: str, value: object) -> None:
    read = parse_overrides([f"x.y={text}"])["x"]["y"]
    assert (read, type(read)) == (value, type(value))


def test_overrides_nest_merge_and_the_last_wins() -> None:
    assert parse_overrides(["a.b=1", "a.c=x", "a.b=2", "d={e: 3}"]) == {"a": {"b": 2, "c": "x"}, "d": {"e": 3}}


def test_every_malformed_override_is_named() -> None:
    with pytest.raises(ValueError) as error:
        parse_overrides(["a", "=1", "a..b=1", "a=[1", "fine=1"])
    lines = str(error.value).splitlines()
    assert lines[0] == "4 faults:"
    assert [line.split("'")[1] for line in lines[1:]] == ["a", "=1", "a..b=1", "a=[1"]


def test_nearest_lists_the_legal_names_and_suggests_only_what_is_close() -> None:
    assert nearest("v3", ["nano", "v2"]) == "'v3' is not one of: nano, v2; did you mean 'v2'?"
    assert nearest("something", {"nano": 1, "v2": 2}) == "'something' is not one of: nano, v2"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(trainer=st.dictionaries(st.text(), values, max_size=4), note=st.none() | st.text(), rate=st.floats(1e-300, 1e300))
def test_dump_reads_back_to_the_same_configuration(
    tmp_path_factory: pytest.TempPathFactory, trainer: dict[str, Any], note: str | None, rate: float
) -> None:
    config = Recipe(trainer=trainer, note=note, rate=rate, parts=(Part(name="1e-4"),))
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_bytes(dump(config).encode("utf-8"))
    assert Recipe.load(path) == config


def test_a_shipped_file_goes_by_its_name_and_a_path_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "shipped", tmp_path / "elsewhere"
    for file in (folder / "full" / "one.yaml", folder / "full-two.yaml", folder / "note.txt", elsewhere / "full-two"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    shipped = shipped_files(folder)
    assert list(shipped.items()) == [("full-two", folder / "full-two.yaml"), ("full/one", folder / "full" / "one.yaml")]
    assert shipped_file("full/one", shipped, "thing") == folder / "full" / "one.yaml"
    assert shipped_file("full-two", shipped, "thing") == folder / "full-two.yaml"
    monkeypatch.chdir(elsewhere)
    assert shipped_file("full-two", shipped, "thing") == Path("full-two")  # the user's own file comes first
    assert shipped_file("absent.yml", shipped, "thing") == Path("absent.yml")  # whose absence is told when it is read
    with pytest.raises(ValueError, match=r"^no thing file, and no shipped thing of that name: 'ful/one' .* 'full/one'\?$"):
        shipped_file("ful/one", shipped, "thing")
