"""`dragonfly serve`: the HTTP API and the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from dragonfly.cli import common
from dragonfly.installation import install_advice

EXAMPLES = """
Serve a model: OpenAI's chat completions at /v1, and a page that shows where it looked at /. Ctrl-C stops it.

Examples:

  dragonfly serve

  dragonfly serve --model ./my-model --port 9000

  dragonfly serve --host 0.0.0.0 --api-keys keys.txt

Only this machine can reach it unless you give --host. Keys: a file with one on each line, or DRAGONFLY_API_KEYS, with
commas between them.
"""

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
    batch: Annotated[int, typer.Option(min=1, help="Questions answered together.")] = 16,
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
) -> int:
    try:
        import fastapi  # noqa: F401 - is it there, before a model is loaded?
        import prometheus_client  # noqa: F401
        import uvicorn
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
    from dragonfly.inference import load
    from dragonfly.serving.app import create_app

    common.log_to_terminal()
    engine = load(**common.loading(model, device, dtype, quantize, device_map, set))
    if host not in _LOCAL and not settings.keys:
        common.say("note: whoever reaches this address can ask; give --api-keys to let in those alone who have one")
    common.say_what_answers(model, 1)
    config = uvicorn.Config(
        create_app(engine, settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(deadline) + 1,
        limit_concurrency=4 * settings.requests + 64,
    )
    return _serve(config)


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
    except SystemExit:  # uvicorn has logged why it cannot listen
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
