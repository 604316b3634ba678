"""YAML and overrides become a frozen configuration, or one error with every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from dragonfly.config import Config, Key, dump, nearest, shipped_file, shipped_files


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
    with pytest.raises(ValueError, match=r"unknown key 'parts\.a\.nme'; did you mean 'parts\.\*\.name'\?"):
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
    read = Recipe.load(None, [f"trainer.y={text}"]).trainer["y"]
    assert (read, type(read)) == (value, type(value))


class Rows(Config):
    """A section with a short form, as a recipe's data has one."""

    parts: tuple[Part, ...] = ()
    longest: int = 1
    kind: dict[str, Any] = Field(default_factory=dict)


class Job(Config):
    rows: Rows = Rows()
    lora: Selection | None = None

    @classmethod
    def spelled_out(cls, key: Key, value: Any) -> list[tuple[Key, Any]]:
        match key, value:
            case ((("rows",) | ("rows", "parts")), str()):
                return [(("rows", "parts"), [{"name": value}])]
            case ("rows", "kind"), str():
                return [(key, {}), ((*key, "name"), value)]
        return [(key, value)]


BASE = {"rows": {"parts": [{"name": "mix"}, {"name": "text", "weight": 0.5}], "longest": 7, "kind": {"name": "old", "width": 3}}}


def refused(*overrides: str) -> str:
    with pytest.raises(ValueError) as error:
        Job.load(None, overrides, base=BASE)
    return str(error.value)


def test_overrides_nest_and_merge() -> None:
    config = Recipe.load(None, ["trainer.b=1", "trainer.c.e=x", "trainer={d: 3, c: {f: 4}}", "trainer.b=1"])
    assert config.trainer == {"b": 1, "c": {"e": "x", "f": 4}, "d": 3}


def test_an_empty_mapping_empties_and_what_is_given_beside_it_stays() -> None:
    assert Job.load(None, ["rows.kind={}"], base=BASE).rows.kind == {}
    assert Job.load(None, ["rows.kind.depth=1", "rows.kind={}"], base=BASE).rows.kind == {"depth": 1}


@pytest.mark.parametrize("turn", [1, -1])
def test_a_short_form_replaces_what_it_stands_for_and_nothing_else(turn: int) -> None:
    for short in ("rows=a.json", "rows.parts=a.json"):
        rows = Job.load(None, [short, "rows.kind.width=4"][::turn], base=BASE).rows
        assert rows == Rows(parts=(Part(name="a.json"),), longest=7, kind={"name": "old", "width": 4})
    rows = Job.load(None, ["rows.kind=new", "rows.kind.depth=1"][::turn], base=BASE).rows
    assert rows.kind == {"name": "new", "depth": 1}


def test_a_short_form_in_a_file_keeps_what_an_override_adds(tmp_path: Path) -> None:
    path = written(tmp_path, "rows: a.json\n")
    assert Job.load(path, ["rows.longest=3"]).rows == Rows(parts=(Part(name="a.json"),), longest=3)


def test_entries_of_a_list_are_changed_by_name() -> None:
    rows = Job.load(None, ["rows.parts.mix.weight=2", "rows.longest=1"], base=BASE).rows
    assert rows.parts == (Part(name="mix", weight=2.0), Part(name="text", weight=0.5))
    rows = Job.load(None, ["rows.parts.new.weight=2", "rows.parts=[{name: new}, {name: other}]"], base=BASE).rows
    assert rows.parts == (Part(name="new", weight=2.0), Part(name="other"))
    assert refused("rows.parts.mxi.weight=2") == (
        "rows.parts.mxi.weight=2: rows.parts: 'mxi' is not one of: mix, text; did you mean 'mix'?"
    )
    assert refused("rows=a.json", "rows.parts.mix.weight=2") == (
        "rows.parts.mix.weight=2: rows.parts: 'mix' is not one of: a.json"
    )
    assert refused("rows.parts.mix.weigt=2") == "unknown key 'rows.parts.mix.weigt'; did you mean 'rows.parts.*.weight'?"
    assert refused("rows.parts.mix.weight=x").startswith("rows.parts.mix.weight: must be a number")
    assert refused("rows.parts.mix=2") == (
        "rows.parts.mix=2: rows.parts.mix has parts; change one (rows.parts.mix.KEY=...), or give the whole list"
    )
    assert "rows.parts has no named entries; give the whole list" in refused("rows.parts=[1, 2]", "rows.parts.mix.weight=2")
    twice = "rows.parts=[{name: mix}, {name: mix}]"
    assert refused(twice, "rows.parts.mix.weight=2").endswith("rows.parts has 2 entries 'mix'; give the whole list")


def test_what_a_file_lists_stays_in_its_order(tmp_path: Path) -> None:
    path = written(tmp_path, "trainer: {b: {c: {d: 1}}, a: {}, e: {f: 1}}\n")
    assert list(Recipe.load(path, ["trainer.a.z=1"]).trainer) == ["b", "a", "e"]


def test_a_wrong_entry_of_a_file_is_told_by_its_name_and_its_file(tmp_path: Path) -> None:
    path = written(tmp_path, "rows:\n  parts: [{name: a, weight: heavy}, {name: b}]\n")
    with pytest.raises(ValueError, match=rf"^{path}: rows\.parts\.a\.weight: must be a number"):
        Job.load(path, ["rows.parts.b.weight=2"])
    with pytest.raises(ValueError, match=r"^rows\.parts\.b\.weight: must be a number"):
        Job.load(written(tmp_path, "rows: {parts: [{name: b}]}"), ["rows.parts.b.weight=x"])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rows.longest=1", "rows.longest=2"),
        ("rows.longest=1", "rows={longest: 2}"),
        ("rows=a.json", "rows=b.json"),
        ("rows=a.json", "rows.parts=[{name: b}]"),
        ("rows.parts=[{name: b, weight: 2}]", "rows.parts.b.weight=3"),
        ("rows.kind=new", "rows.kind.name=other"),
        ("lora=null", "lora.k=3"),
        ("rows.kind.a=1", "rows.kind.a.b=2"),
        ("rows.kind.a=1", "rows.kind.a=true"),
    ],
)
def test_overrides_that_contradict_each_other_are_refused_by_name(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        assert refused(first, second) == f"overrides {first!r} and {second!r} contradict each other; keep one"


def test_the_same_override_twice_is_no_contradiction() -> None:
    assert Job.load(None, ["rows.longest=2", "rows={longest: 2}", "rows.longest=2"]).rows.longest == 2


keys = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(".".join)
plain = st.sampled_from(
    ["1", "2", "true", "null", "{}", "[]", "x", "{a: 1}", "{a: {b: 2}, b: 3}", "[{name: a}, {name: b, a: 1}]"]
)


def at(tree: Any, key: list[str]) -> Any:
    for part in key:
        if isinstance(tree, list):
            tree = next((entry for entry in tree if isinstance(entry, dict) and entry.get("name") == part), None)
        else:
            tree = tree.get(part, "absent") if isinstance(tree, dict) else "absent"
    return tree


def leaves(value: Any) -> list[tuple[list[str], Any]]:
    if isinstance(value, dict) and value:
        return [([name, *key], leaf) for name, below in value.items() for key, leaf in leaves(below)]
    return [([], value)]


@settings(max_examples=150, deadline=None)
@given(overrides=st.lists(st.tuples(keys, plain), min_size=1, max_size=4), data=st.data())
def test_no_override_vanishes_whatever_the_order(overrides: list[tuple[str, str]], data: st.DataObject) -> None:
    """Either all of them hold at once, in every order alike, or the load is refused in every order."""
    texts = [f"trainer.{key}={value}" for key, value in overrides]
    base = {"trainer": {"a": [{"name": "a", "b": 0}, {"name": "b"}], "b": {"a": 5, "b": {"a": 6}}}}

    def outcome(texts: list[str]) -> Any:
        try:
            return Recipe.load(None, texts, base=base).trainer
        except ValueError as error:
            lines = [line for line in str(error).splitlines() if not line.endswith(" faults:")]
            return "refused" if all("trainer." in line for line in lines) else lines

    found = outcome(texts)
    assert yaml.dump(found) == yaml.dump(outcome(data.draw(st.permutations(texts))))  # sorted by key, and 1 is not true
    for key, text in overrides if isinstance(found, dict) else ():
        for below, value in leaves(yaml.safe_load(text)):
            held = at(found, [*key.split("."), *below])
            if value == {}:
                assert isinstance(held, dict)  # emptied, then filled by the others alone
            elif isinstance(value, list):
                assert isinstance(held, list) and len(held) == len(value)
            else:
                assert repr(held) == repr(value)


def test_every_malformed_override_is_named() -> None:
    with pytest.raises(ValueError) as error:
        Recipe.load(None, ["a", "=1", "a..b=1", "a=[1", "rate=1"])
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
