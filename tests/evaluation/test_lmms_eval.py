"""The lmms-eval adapter against a stand-in for its interface (0.7.3), and its task files against the published layouts."""

import importlib
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from PIL import Image

from dragonfly.evaluation.lmms_eval import MODEL_ID, manifest, task_functions, tasks_folder
from dragonfly.inference import load
from tests.tiny import image

from .layouts import YES_NO, lines, reports
from .lenses import stand_in

TASKS = {path.stem: path for path in sorted(tasks_folder().glob("*.yaml"))}


@dataclass
class TokenCounts:
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass
class GenerationResult:
    text: str
    token_counts: TokenCounts | None = None


@dataclass(frozen=True)
class ModelManifest:
    model_id: str
    simple_class_path: str | None = None
    chat_class_path: str | None = None


class Lmms:
    is_simple = True

    def __init__(self) -> None:
        self.task_dict: dict[str, Any] = {}
        self.seen: list[Any] = []
        self.cache_hook = SimpleNamespace(add_partial=lambda *partial: self.seen.append(partial))


class ChatMessages:
    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.messages = messages

    def to_hf_messages(self) -> list[dict[str, Any]]:
        def part(content: dict[str, Any]) -> dict[str, Any]:
            return {"type": "image", "image": content["url"]} if content["type"] == "image" else content

        return [{"role": message["role"], "content": [part(one) for one in message["content"]]} for message in self.messages]


@pytest.fixture
def lmms_eval(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The names of lmms-eval that the adapter uses."""
    names = {
        "lmms_eval": {},
        "lmms_eval.api": {},
        "lmms_eval.api.instance": {"GenerationResult": GenerationResult, "TokenCounts": TokenCounts},
        "lmms_eval.api.model": {"lmms": Lmms},
        "lmms_eval.models": {},
        "lmms_eval.models.registry_v2": {"ModelManifest": ModelManifest},
        "lmms_eval.protocol": {"ChatMessages": ChatMessages},
    }
    for name, values in names.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    adapter = "dragonfly.evaluation.lmms_eval.model"
    monkeypatch.delitem(sys.modules, adapter, raising=False)
    yield
    sys.modules.pop(adapter, None)


def chat_class() -> Any:
    path, _, name = manifest().chat_class_path.rpartition(".")
    return getattr(importlib.import_module(path), name)


def test_importing_it_needs_no_lmms_eval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmms_eval", None)
    for name in ("dragonfly.evaluation.lmms_eval", "dragonfly.evaluation.lmms_eval.task_functions"):
        importlib.reload(importlib.import_module(name))
    with pytest.raises(ImportError):
        manifest()


def test_the_entry_point_is_a_manifest_of_a_chat_model(lmms_eval: None) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    module, _, function = project["entry-points"]["lmms_eval.models"][MODEL_ID].partition(":")
    assert getattr(importlib.import_module(module), function)() == manifest()
    assert (manifest().model_id, manifest().simple_class_path) == ("dragonfly", None)
    assert issubclass(chat_class(), Lmms) and chat_class().is_simple is False


def request(identity: int, task: str = "t", **generation: Any) -> SimpleNamespace:
    def to_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
        text = [{"type": "text", "text": row["question"]}]
        return [{"role": "user", "content": [*({"type": "image", "url": image} for image in row["images"]), *text]}]

    return SimpleNamespace(args=("context", to_messages, generation, identity, task, "test"))


def test_answers_are_those_of_the_engine_in_the_order_of_the_requests(lmms_eval: None, saved_model: Path) -> None:
    model = chat_class()(pretrained=str(saved_model), device="cpu", batch_size="2", max_batch_size=None)
    images = [[image(seed=n)] for n in range(3)] + [[]]
    model.task_dict = {"t": {"test": [{"question": f"q{n}?", "images": images[n]} for n in range(4)]}}
    requests = [request(n, max_new_tokens=4, do_sample=False, temperature=0, until=["\n\n"]) for n in (2, 0, 3)]
    requests.append(request(1, max_new_tokens=2, do_sample=False, until="\n\n"))
    found = model.generate_until(requests)
    engine = load(saved_model, device="cpu")
    for result, (n, length) in zip(found, [(2, 4), (0, 4), (3, 4), (1, 2)], strict=True):
        answer = engine.ask(images[n], f"q{n}?", max_new_tokens=length, stop=("\n\n",))
        assert result == GenerationResult(answer.text, TokenCounts(answer.prompt_tokens, len(answer.token_ids)))
    assert [partial[0] for partial in model.seen] == ["generate_until"] * 4
    assert model.generate_until([]) == []


def test_a_lens_asks_any_model_in_its_place(lmms_eval: None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stand_in(monkeypatch)
    model = chat_class()(pretrained="any/model", lens="attention", max_tokens="512", max_calls=3, batch_size=2)
    model.task_dict = {"t": {"test": [{"question": f"q{n}?", "images": [image(seed=n)]} for n in range(2)]}}
    results = model.generate_until([request(n, max_new_tokens=4, until=["eply"]) for n in (1, 0)])
    assert [result.text for result in results] == ["attention r", "attention r"]  # cut at the stop string
    assert [call["question"] for call in found.calls] == ["q1?", "q0?"]
    assert all((call["max_tokens"], call["max_calls"], call["max_new_tokens"]) == (512, 3, 4) for call in found.calls)
    assert found.made == [("any/model", "attention")]
    with pytest.raises(ValueError, match="a lens answers greedily"):
        model.generate_until([request(0, do_sample=True, temperature=0.5)])
    with pytest.raises(ValueError, match="does not take set"):
        chat_class()(pretrained="any/model", lens="attention", set="model.selection.keep=2")


def test_what_it_cannot_do_is_said(lmms_eval: None, saved_model: Path) -> None:
    with pytest.raises(ValueError, match="batch_size is 'auto'; give a number"):
        chat_class()(batch_size="auto")
    model = chat_class()(pretrained=str(saved_model), device="cpu", set="model.selection.policy=detail;model.selection.keep=2")
    assert model.engine.model.config.spec.selection.policy == "detail"
    for method in (model.loglikelihood, model.generate_until_multi_round):
        with pytest.raises(ValueError, match="output_type generate_until"):
            method([])


def test_one_question_of_messages(lmms_eval: None) -> None:
    row_of = importlib.import_module("dragonfly.evaluation.lmms_eval.model").row_of
    text, image = {"type": "text", "text": " what? "}, {"type": "image", "image": "a.png"}
    user = {"role": "user", "content": [text, image, {"type": "text", "text": ""}, text]}
    row = row_of([{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, user])
    assert (row.images, row.question, row.system) == (["a.png"], "what?\nwhat?", "Be brief.")
    with pytest.raises(ValueError, match="one user message of images and text; got user, assistant with image, text"):
        row_of([user, {"role": "assistant", "content": [text]}])
    with pytest.raises(ValueError, match="got user with video"):
        row_of([{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}])


class _Loader(yaml.SafeLoader):
    pass


def _function(loader: yaml.SafeLoader, node: Any) -> Any:
    module, _, name = loader.construct_scalar(node).rpartition(".")
    return getattr(importlib.import_module(module), name)


_Loader.add_constructor("!function", _function)


def read(name: str) -> dict[str, Any]:
    return yaml.load(TASKS[name].read_text(encoding="utf-8"), _Loader)


def test_there_is_a_task_for_each_set_that_lmms_eval_lacks() -> None:
    sets = ("iu_xray", "mimic_cxr", "path_vqa", "peir_gross", "roco", "vqa_rad")
    assert list(TASKS) == [f"dragonfly_{name}" for name in sets]
    for name in TASKS:
        task = read(name)
        assert (task["task"], task["test_split"], task["output_type"]) == (name, "test", "generate_until")
        assert all(callable(metric["aggregation"]) for metric in task["metric_list"])


@pytest.mark.parametrize("name", ["dragonfly_vqa_rad", "dragonfly_path_vqa"])
def test_short_answers_are_scored_as_dragonfly_eval_does(name: str) -> None:
    task = read(name)
    around = task["lmms_eval_specific_kwargs"]["default"]
    documents = [{"image": image(seed=n), "question": f"q{n} ", "answer": answer} for n, answer in enumerate(YES_NO)]
    assert task["doc_to_text"](documents[0], around) == "q0\nAnswer the question using a single word or phrase."
    assert isinstance(task["doc_to_visual"](documents[0])[0], Image.Image)
    found = [task["process_results"](document, [" yes "]) for document in documents]
    scores = {metric["metric"]: metric["aggregation"]([one[metric["metric"]] for one in found]) for metric in task["metric_list"]}
    assert scores == {"exact_match_vqa": 2 / 5, "closed_accuracy": 2 / 4, "token_f1": 2 / 5}
    assert task_functions.mean_of_present([None]) == 0.0


CAPTIONS = [
    # (set, what writes its files, the reply, ROUGE-L of it: one reference is equal, of the others one word differs)
    ("iu_xray", reports, "the lungs are clear 2 .", (4 * 5 / 6 + 1) / 5),
    ("mimic_cxr", reports, "the lungs are clear 2 .", (4 * 5 / 6 + 1) / 5),
    ("peir_gross", lines("test_images.tsv", "peir_gross_images"), "a kidney 2", (4 * 2 / 3 + 1) / 5),
    ("roco", lines("data/test/radiology/captions.txt", "images", ".jpg"), "a kidney 2", (4 * 2 / 3 + 1) / 5),
]


@pytest.mark.parametrize(("name", "write", "reply", "expected"), CAPTIONS, ids=[row[0] for row in CAPTIONS])
def test_captions_are_read_where_dragonfly_eval_reads_them(
    name: str, write: Any, reply: str, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import load_dataset

    task = read(f"dragonfly_{name}")
    write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    documents = load_dataset(task["dataset_path"], cache_dir=str(tmp_path / "cache"), **task["dataset_kwargs"])["test"]
    assert len(documents) == 5
    views = [task["doc_to_visual"](document) for document in documents]
    assert {len(view) for view in views} == ({2} if write is reports else {1})
    assert task["doc_to_text"](documents[0]).startswith("Describe th")
    pairs = [task["process_results"](document, [reply])["rouge_l"] for document in documents]
    assert task_functions.rouge_l_plain(pairs) == pytest.approx(expected, abs=1e-6)  # Java tokenises for the others
    plain = {metric["metric"]: metric["aggregation"] for metric in task["metric_list"]}["rouge_l"] is task_functions.rouge_l_plain
    assert plain == (write is reports)
    monkeypatch.chdir("/")
    monkeypatch.setenv("DRAGONFLY_DATA", str(tmp_path))
    assert len(task["doc_to_visual"](documents[4])) == len(views[4])
