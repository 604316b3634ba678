"""What `mkdocs build` makes beside the pages of docs/: the reference from the code, files that pages link to, notebooks as pages.

mkdocs calls `on_files` and `on_page_markdown` (`hooks` in mkdocs.yml). Nothing that is made here is committed.
"""

from __future__ import annotations

import base64
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"(\]\()((?:\.\./)+)([^)#\s]+)")  # a link out of docs/, to a file of the repository
API = {
    "Asking": ("dragonfly.inference", ["load", "Engine", "Answer", "EncodedImage"]),
    "Models": (
        "dragonfly.models",
        [
            "DragonflyConfig",
            "DragonflyForConditionalGeneration",
            "DragonflyModel",
            "DragonflyProcessor",
            "DragonflyImageProcessor",
        ],
    ),
    "Geometry": ("dragonfly.vision", ["make_layout", "SubImageLayout", "EncoderSpec"]),
    "Planning": ("dragonfly.planning", ["ModelSize", "Answers", "Training", "plan_inference", "plan_training", "fit"]),
    "Training": ("dragonfly.training", ["Recipe", "run"]),
}


# -- mkdocs' hooks


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages, and every file of the repository that a page links to."""
    from mkdocs.structure.files import File

    pages = {f"reference/{name}.md": make() for name, make in REFERENCE.items()}
    for path in sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook_page(json.loads(path.read_text(encoding="utf-8")))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    linked = {target for file in files.documentation_pages() for target in _outside(file)}
    for target in sorted(linked):
        files.append(File.generated(config, f"repository/{target}", abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links out of docs/ lead to the copies under repository/ (a link that leads nowhere fails the strict build)."""
    up = "../" * page.file.src_uri.count("/")
    return LINK.sub(lambda found: f"{found[1]}{up}repository/{found[3]}" if _is_outside(found, page.file) else found[0], markdown)


def _is_outside(found: re.Match[str], file: Any) -> bool:
    return found[2].count("../") > file.src_uri.count("/") and (ROOT / found[3]).is_file()


def _outside(file: Any) -> Iterator[str]:
    return (found[3] for found in LINK.finditer(file.content_string) if _is_outside(found, file))


# -- the reference


def cli_page() -> str:
    """Every command with its help, arguments and options, by typer's own writer."""
    from typer import Context
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from dragonfly.cli import application

    command = get_command(application())
    text = get_docs_for_click(obj=command, ctx=Context(command, info_name="dragonfly"), name="dragonfly", title="Command line")
    return text.replace("[default: ", "\\[default: ").replace("[required]", "\\[required]")


def recipe_page() -> str:
    """Every key of a recipe: `Recipe` and the sections in it."""
    from dragonfly.training import Recipe

    head = "# Recipe keys\n\nThe keys of `dragonfly train RECIPE key=value`. A section's keys are written `section.key`."
    return "\n\n".join([head, *_sections(Recipe, "")]) + "\n"


def spec_page() -> str:
    """Every key of an encoder, and every preset as a YAML of them."""
    import yaml

    from dragonfly.vision.presets import PRESETS
    from dragonfly.vision.selection_spec import NEEDS
    from dragonfly.vision.spec import EncoderSpec

    head = (
        "# Encoder keys\n\nThe keys of an encoder: `model.KEY` in a recipe, `--set model.KEY=VALUE` on a command, `encoder` of a "
        "variant in a study. Grids are (rows, cols)."
    )
    policies = "\n".join(f"- `{name}` looks at {'the ' if need == 'question' else ''}{need}" for name, need in NEEDS.items())
    parts = [head, *_sections(EncoderSpec, ""), f"## Policies\n\n{policies}", "## Presets"]
    for name, preset in PRESETS.items():
        values = yaml.safe_dump(
            preset.spec.model_dump(mode="json", exclude_defaults=True), sort_keys=False, default_flow_style=None
        )
        parts.append(f"### {name}\n\nTower `{preset.tower}`.\n\n```yaml\n{values}```")
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """What mkdocstrings is told to show."""
    parts = ["# Python\n\nThe names that programs use. All raise `ValueError` in one line for a user's mistake."]
    for title, (module, names) in API.items():
        parts.append(f"## {title}")
        parts += [f"::: {_home(module, name)}" for name in names]
    return "\n\n".join(parts) + "\n"


def _home(module: str, name: str) -> str:
    from importlib import import_module

    one = getattr(import_module(module), name)
    return f"{one.__module__}.{name}"


REFERENCE = {"cli": cli_page, "recipe": recipe_page, "encoder": spec_page, "python": api_page}


def _sections(model: Any, prefix: str, *, one_of: bool = False) -> Iterator[str]:
    """A table of a pydantic model's keys under its docstring, then one for each model among its keys.

    `one_of`: several models may stand here, so its name goes into the title.
    """
    rows, inner = ["| key | type | default |", "| --- | --- | --- |"], []
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        models = [one for one in _parts(field.annotation) if hasattr(one, "model_fields")]
        inner += [(one, f"{key}[]." if _is_list(field.annotation) else f"{key}.", len(models) > 1) for one in models]
        default = "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        rows.append(f"| `{key}` | `{_type(field.annotation)}` | {default} |")
    title = f"## {prefix.rstrip('.') or 'Top level'}" + (f": {model.__name__}" if one_of else "")
    yield f"{title}\n\n{_prose(model)}\n\n" + "\n".join(rows)
    for one, key, several in inner:
        yield from _sections(one, key, one_of=several)


def _parts(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for one in arguments:
        yield from _parts(one)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple)


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(one) for one in get_args(annotation))
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    return re.sub(r"(?:typing|dragonfly[\w.]*)\.", "", text).replace("NoneType", "none").replace("|", "or")


def _shown(value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(value, default=str).replace("|", "\\|")


def _prose(model: Any) -> str:
    """A docstring as Markdown: its `Args:` as a list."""
    import inspect

    text, _, arguments = (inspect.getdoc(model) or "").partition("\nArgs:\n")
    items = re.sub(r"\n {4,}(?=\S)", " ", re.sub(r"(?m)^ {4}(?=\S)", "\0", arguments)).split("\0")[1:]
    listed = "\n".join(f"- `{name}`: {' '.join(rest.split())}" for name, _, rest in (item.partition(":") for item in items))
    return text.strip() + (f"\n\n{listed}" if listed else "")


# -- notebooks


def notebook_page(notebook: dict[str, Any]) -> str:
    """A notebook as Markdown: text, code, printed output, drawn images."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if text := "".join(output.get("text", ())):
                parts.append(f"```text\n{text.rstrip()}\n```")
            for kind in ("image/png", "image/jpeg"):
                if kind in data:
                    encoded = base64.b64encode(base64.b64decode("".join(data[kind]))).decode()
                    parts.append(f'<img alt="output" src="data:{kind};base64,{encoded}">')
    return "\n\n".join(parts) + "\n"
