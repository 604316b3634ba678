"""`dragonfly serve`: the HTTP API and the page."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common
from dragonfly.cli import lens as lenses
from dragonfly.installation import install_advice

EXAMPLES = """
Serve a model: OpenAI's chat completions at /v1, and a page that shows where it looked at /. Ctrl-C stops it.

Examples:

  dragonfly serve

  dragonfly serve --model ./my-model --port 9000

  dragonfly serve --host 0.0.0.0 --api-keys keys.txt

  dragonfly serve --compare model.selection.policy=detail

  dragonfly serve --model ./my-model --engine vllm

  dragonfly serve --model ./qwen --max-image-tokens 2048

Only this machine can reach it unless you give --host. Keys: a file with one on each line, or DRAGONFLY_API_KEYS, with
commas between them.
"""

BATCH = 16
_LOCAL = ("localhost", "127.0.0.1", "::1")


def serve(
    model: common.Model = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 is every network of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    api_keys: Annotated[Path | None, typer.Option(help="A file of API keys, one on each line; callers must show one.")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A name under which the server may be called. Repeatable.")] = None,
    allow_domain: Annotated[
        list[str] | None, typer.Option(help="A host that images may be fetched from, and its subdomains. Repeatable.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Questions answered together.")] = BATCH,
    queue: Annotated[int, typer.Option(min=0, help="Requests that may wait; the next is told to come later (429).")] = 64,
    deadline: Annotated[float, typer.Option(help="Seconds until a request is given up.")] = 120.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer that may be asked for.")] = 1024,
    max_images: Annotated[int, typer.Option(min=1, help="Images of one request.")] = 16,
    max_pixels: Annotated[int, typer.Option(min=1, help="Width x height of a request's images together.")] = 2**25,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = 32 * 2**20,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    quantize: common.Quantize = None,
    device_map: common.DeviceMap = None,
    set: common.Overrides = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHANGES",
            help="Serve the same weights under another policy or preset too: model.selection.policy=detail. Several changes: "
            "with commas between them. Repeatable.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="dragonfly|vllm", help="What generates: this process, or vLLM behind it.")
    ] = "dragonfly",
    vllm_url: Annotated[
        str | None, typer.Option(help="A vLLM that serves the model already; its key: VLLM_API_KEY. Without, one is started.")
    ] = None,
    vllm_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="ARG", help="For the vLLM that is started: --vllm-arg=--max-model-len=8192. Repeatable."),
    ] = None,
    method: lenses.Method = None,
    max_image_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=lenses.PANEL,
            help="Most image tokens of a question, over all calls (usual 1024); --max-tokens is the answer's length.",
        ),
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(min=1, rich_help_panel=lenses.PANEL, help="Most calls of the model for a question (usual 4).")
    ] = None,
) -> int:
    try:
        import fastapi  # noqa: F401 - is it there, before a model is loaded?
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ValueError(f"serving needs {error.name}, which is not installed; {install_advice('serve')}") from None
    from dragonfly.serving.settings import Settings

    names = tuple(name.lower() for name in allow_host or ())
    settings = Settings(
        max_body=max_body,
        max_images=max_images,
        max_pixels=max_pixels,
        max_tokens=max_tokens,
        batch=batch,
        queue=queue,
        deadline=deadline,
        domains=tuple(allow_domain or ()),
        hosts=(*_LOCAL, *names) if host in _LOCAL or names else None,
        keys=_keys(api_keys),
    )
    common.log_to_terminal()
    # Of torch, which is not loaded yet: threads that wait for the next product leave the processor to those that speak HTTP.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with ExitStack() as open_until_the_end:
        if engine == "vllm":
            of_this_process = {"--device": device != "auto", "--quantize": quantize, "--device-map": device_map, "--set": set}
            of_this_process |= {"--compare": compare, "--method": method}
            of_this_process |= {"--max-image-tokens": max_image_tokens, "--max-calls": max_calls}
            app = _vllm_app(open_until_the_end, settings, model, dtype, of_this_process, vllm_url, vllm_arg or [])
        else:
            from dragonfly.inference import load
            from dragonfly.serving.app import create_app

            if engine != "dragonfly" or vllm_url or vllm_arg:
                raise ValueError(f"--engine is dragonfly or vllm, got '{engine}'; --vllm-url and --vllm-arg go with vllm")
            if compare and device_map:
                raise ValueError("--compare needs the model whole on one device; leave --device-map out")
            loading = common.loading(model, device, dtype, quantize, device_map, set)
            wanted = lenses.Wanted(method, max_image_tokens, max_calls)
            if wanted.needed(model):
                app = create_app(_lens(wanted, loading, {"--compare": compare, "--batch": batch != BATCH}), settings)
            else:
                loaded = load(**loading)
                app = create_app(loaded, settings, compare=_others(loaded, compare or []))
            common.say_what_answers(model, 1)
        if host not in _LOCAL and not settings.keys:
            common.say("note: whoever reaches this address can ask; give --api-keys to let in those alone who have one")
        return _serve(_config(app, host, port, settings))


def _lens(wanted: lenses.Wanted, loading: dict[str, Any], lacking: dict[str, Any]) -> Any:
    """What asks through a lens, one question at a time."""
    from dragonfly.lens.methods import METHODS

    if wanted.method == "oracle":
        raise ValueError("method 'oracle' needs the boxes of the evidence, and a request has none; choose another method")
    asker = wanted.open(loading, lacking)
    least = METHODS[asker.lens.method].needs.least_calls
    if asker.max_calls < least:
        raise ValueError(f"method '{asker.lens.method}' needs {least} calls and --max-calls is {asker.max_calls}; allow more")
    budget = f"up to {asker.max_tokens:,} image tokens and {asker.max_calls} calls a question"
    common.say(f"note: asked through a lens: method {asker.lens.method}, {budget}, one question at a time")
    return asker


def _others(engine: Any, compare: list[str]) -> dict[str, Any]:
    """Engines on the same weights, each by its changes, as the API names it."""
    from dragonfly.inference.same_weights import with_same_weights

    named = {",".join(part.removeprefix("model.") for part in changes.split(",")): changes.split(",") for changes in compare}
    return {name: with_same_weights(engine, changes) for name, changes in named.items()}


def _vllm_app(
    stack: ExitStack,
    settings: Any,
    model: str | None,
    dtype: str,
    of_this_process: dict[str, Any],
    url: str | None,
    arguments: list[str],
) -> Any:
    """The application in front of a vLLM, which is started here where no address is given."""
    from dragonfly.serving.app import create_app
    from dragonfly.serving.vllm.launch import Place, launched
    from dragonfly.serving.vllm.viewer import Viewer
    from dragonfly.serving.vllm.worker import VllmWorker

    if given := [name for name, value in of_this_process.items() if value]:
        raise ValueError(f"{given[0]} is of no use with --engine vllm; tell vLLM itself (--vllm-arg), or save the model so")
    if url is not None and (arguments or dtype != "auto"):
        raise ValueError("--vllm-arg and --dtype are for a vLLM that is started here; the one at --vllm-url has its own")
    viewer = Viewer(model)
    if viewer.eyes:
        policy = viewer.processor.image_processor.spec.selection.policy
        common.say(
            f"note: policy '{policy}' chooses by the tower's tokens, so the tower is loaded here too, to show what is kept"
        )
    if url is None:
        common.say("starting vLLM, which may take minutes ...")
        place = stack.enter_context(launched(viewer.path, dtype, settings.max_images, arguments))
    else:
        from dragonfly.serving.client import Server

        Server(url)  # refuses what is no address
        place = Place(url.rstrip("/").removesuffix("/v1"), os.environ.get("VLLM_API_KEY"))
    return create_app(viewer, settings, lambda metrics: VllmWorker(viewer, place.url, metrics, place.key))


def _config(app: Any, host: str, port: int, settings: Any) -> Any:
    import uvicorn

    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(settings.deadline) + 1,
        limit_concurrency=4 * settings.requests + 64,
    )


def _serve(config: Any) -> int:
    """Until a signal. The address is said when it is bound: with port 0 the system chooses it."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            for server in self.servers if self.started else ():
                for socket in server.sockets:
                    host, port, *_ = socket.getsockname()
                    common.say(f"serving at http://{f'[{host}]' if ':' in host else host}:{port}/")

    server = Server(config)
    try:
        server.run()
    except SystemExit as ended:
        if not ended.code:  # SIGTERM, beside a vLLM that was started here
            return 0
        # uvicorn has logged why it cannot listen
        raise ValueError(
            f"cannot listen on {config.host}:{config.port}; is the port in use? choose another with --port"
        ) from None
    return 0


def _keys(file: Path | None) -> tuple[str, ...]:
    if file is not None:
        if not file.is_file():
            raise ValueError(f"no such file: {file}; --api-keys is a file with one key on each line")
        keys = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        if not keys:
            raise ValueError(f"{file} holds no key; write one on each line, or leave --api-keys out")
        return keys
    return tuple(key.strip() for key in os.environ.get("DRAGONFLY_API_KEYS", "").split(",") if key.strip())


serve.__doc__ = EXAMPLES
