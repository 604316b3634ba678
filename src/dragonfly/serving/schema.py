"""What a request may say: OpenAI's chat completions as far as they are kept here. What is not kept is refused, never ignored."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from dragonfly.inference import Options
from dragonfly.serving.errors import bad
from dragonfly.serving.settings import Settings

_SOURCE = "data:...;base64,... of any form that images are read in, or an address of an allowed domain."
_VIEW = "What of the file is shown, as it stands after # in a path: 2 (of a PDF), frame=3, slice=12&plane=coronal, window=lung."
_DOT = "data:image/gif;base64,R0lGODdhAQABAIAAAAAAAAAAACwAAAAAAQABAAACAkQBADs="  # one black pixel
_EXAMPLES: list[Any] = [
    {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": 8},
    {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": _DOT}}, {"type": "text", "text": "What is it?"}],
            }
        ],
        "max_tokens": 8,
        "stream": True,
    },
]
Asked = tuple[str, str]  # an image: its address, and the view of it
_Zero = Annotated[float, Field(ge=0, le=0)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class TextPart(_Closed):
    type: Literal["text"]
    text: str


class ImageUrl(_Closed):
    url: str = Field(description=_SOURCE)
    view: str | None = Field(None, max_length=200, description=_VIEW)
    detail: Literal["auto", "low", "high"] | None = Field(None, description="Has no effect: the model's preset says how closely.")


class ImagePart(_Closed):
    type: Literal["image_url"]
    image_url: ImageUrl


class Message(_Closed):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]]
    name: str | None = None
    refusal: None = None  # of an answer that is handed back as a turn

    def parts(self) -> list[TextPart | ImagePart]:
        return [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content


class TextFormat(_Closed):
    type: Literal["text"]


class StreamOptions(_Closed):
    include_usage: bool = False
    include_obfuscation: bool = False


class Extension(_Closed):
    """What this server offers beyond OpenAI's."""

    why: bool = Field(
        default=False, description="Tell what each sub-image contributed, by leaving it out; for one turn and one answer."
    )
    max_image_tokens: PositiveInt | None = Field(
        default=None, description="Of a lens: image tokens over all calls of this question, at most the server's."
    )
    max_calls: PositiveInt | None = Field(
        default=None, description="Of a lens: calls of the model for this question, at most the server's."
    )


class ChatRequest(_Closed):
    """`max_tokens` and `max_completion_tokens` are the same. `temperature` is 0, greedy, unless it is given."""

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    messages: list[Message] = Field(min_length=1)
    model: str | None = None
    max_tokens: PositiveInt | None = None
    max_completion_tokens: PositiveInt | None = None
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: NonNegativeInt | None = None
    n: PositiveInt = 1
    logprobs: bool = False
    top_logprobs: Literal[0] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    dragonfly: Extension = Extension()
    # Neutral values of what is not kept, and fields that change no answer.
    frequency_penalty: _Zero = 0.0
    presence_penalty: _Zero = 0.0
    response_format: TextFormat | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None

    def conversation(self, labels: Sequence[str]) -> list[dict[str, Any]]:
        """The messages as the engine takes them; of several images in one message each stands behind its label, if it has one."""
        turns: list[dict[str, Any]] = []
        left = iter(labels)
        for message in self.messages:
            role = "system" if message.role == "developer" else message.role
            parts: list[dict[str, Any]] = []
            several = sum(isinstance(part, ImagePart) for part in message.parts()) > 1
            for part in message.parts():
                if isinstance(part, TextPart):
                    parts.append({"type": "text", "text": part.text})
                    continue
                label = next(left)
                parts += [{"type": "text", "text": f"{label}: "}] if label and several else []
                parts.append({"type": "image"})
            turns.append({"role": role, "content": parts if role == "user" else "".join(part.get("text", "") for part in parts)})
        return turns

    def question(self) -> str:
        """The words of the last message."""
        return "".join(part.text for part in self.messages[-1].parts() if isinstance(part, TextPart))

    def images(self) -> list[Asked]:
        parts = [part.image_url for message in self.messages for part in message.parts() if isinstance(part, ImagePart)]
        return [(part.url, part.view or "") for part in parts]

    def check(self, settings: Settings) -> None:
        """What holds between fields. Raises Refusal."""
        if self.messages[-1].role != "user":
            raise bad("the last message must be the user's", "messages")
        if not self.question().strip():
            raise bad("the last message asks nothing; give it a text", "messages")
        if any(isinstance(part, ImagePart) for each in self.messages if each.role != "user" for part in each.parts()):
            raise bad("images stand in the user's messages only", "messages")
        letters = sum(len(part.text) for each in self.messages for part in each.parts() if isinstance(part, TextPart))
        if letters > settings.max_text:
            raise bad(f"the texts have {letters:,} characters, over the limit of {settings.max_text:,}", "messages")
        if self.n > settings.max_choices:
            raise bad(f"n is {self.n}, over the limit of {settings.max_choices}", "n")
        if self.dragonfly.why and (len(self.messages) > 2 or self.messages[0].role == "assistant" or self.n > 1 or self.stream):
            raise bad("'why' explains the one answer to one question; ask without stream, n and earlier turns", "dragonfly")
        if self.dragonfly.why and not self.images():
            raise bad("'why' tells what sub-images contributed, and there is no image", "dragonfly")

    def options(self, settings: Settings) -> Options:
        """How to generate; without a seed of its own a sampled answer gets a random one, which the response tells."""
        given = [length for length in (self.max_tokens, self.max_completion_tokens) if length is not None]
        if len(set(given)) > 1:
            raise bad("max_tokens and max_completion_tokens differ; give one of them", "max_tokens")
        wanted = given[0] if given else min(256, settings.max_tokens)
        if wanted > settings.max_tokens:
            raise bad(f"max_tokens is {wanted}, over the limit of {settings.max_tokens}", "max_tokens")
        seed = self.seed if self.seed is not None else secrets.randbelow(2**31) if self.temperature > 0 else 0
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stops) > 4 or any(not 0 < len(stop) <= 200 for stop in stops):
            raise bad("stop is one to four texts of 1 to 200 characters each", "stop")
        try:
            return Options(wanted, self.temperature, self.top_p, seed, tuple(stops))
        except ValueError as error:
            raise bad(str(error)) from None


class ZoomRequest(_Closed):
    """Which sub-images of an image the model would be given."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"image": _DOT, "question": "What is it?"}]})

    image: str = Field(description=_SOURCE)
    view: str | None = Field(None, max_length=200, description=_VIEW)
    question: str | None = Field(None, max_length=10_000, description="Needed where the model chooses by the question.")
    model: str | None = Field(None, description="Under which of the served models' policies.")
    format: Literal["json", "png", "image"] = Field("json", description="`image`: what the file shows, as PNG, undrawn.")
    scores: bool = Field(True, description="Draw the scores too.")
