"""Chat templates in the formats of language-model families, in our own words, and a tokenizer that has their control tokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Family:
    """A template and its tokenizer's control tokens.

    `end` ends an answer; `lead` is what the template writes before the last answer and generation is not given; `system` says
    what becomes of a system message: written, or "refused".
    """

    template: str
    end: str
    tokens: tuple[str, ...]
    eos: str | None = None
    bos: str | None = None
    adds_bos: bool = False
    plain_tokens: tuple[str, ...] = ()
    lead: str = ""
    trims: bool = False
    system: str = "written"


ALTERNATE = """{%- for m in messages if m.role != 'system' -%}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}{{- raise_exception('turns must alternate') -}}{%- endif -%}
{%- endfor -%}"""

CHATML = """{%- if messages[0].role != 'system' -%}{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' -}}{%- endif -%}
{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

THINKING = """{%- set state = namespace(asked=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set state.asked = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- set said, thought = m.content, '' -%}
{%- if m.role == 'assistant' and '</think>' in said -%}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') -%}
{%- set said = said.split('</think>')[-1].lstrip('\\n') -%}
{%- endif -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.role == 'assistant' and loop.index0 > state.asked -%}{{- '<think>\\n' + thought + '\\n</think>\\n\\n' -}}{%- endif -%}
{{- said + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

LLAMA2 = (
    ALTERNATE
    + """{%- set start = 1 if messages[0].role == 'system' else 0 -%}
{%- for m in messages[start:] -%}
{%- if m.role == 'user' -%}
{%- set before = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' if loop.first and start else '' -%}
{{- bos_token + '[INST] ' + (before + m.content) | trim + ' [/INST]' -}}
{%- else -%}{{- ' ' + m.content | trim + ' ' + eos_token -}}{%- endif -%}
{%- endfor -%}"""
)

LLAMA3 = """{%- for m in messages -%}
{%- set turn = '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' -%}
{{- bos_token + turn if loop.first else turn -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"""

MISTRAL = (
    ALTERNATE
    + """{{- bos_token -}}
{%- set start = 1 if messages[0].role == 'system' else 0 -%}
{%- for m in messages[start:] -%}
{%- if m.role == 'user' -%}
{%- set last = (messages | selectattr('role', 'equalto', 'user') | list)[-1] -%}
{{- '[INST] ' + (messages[0].content + '\\n\\n' if start and m == last else '') -}}
{{- m.content + '[/INST]' -}}
{%- else -%}{{- ' ' + m.content + eos_token -}}{%- endif -%}
{%- endfor -%}"""
)

GEMMA = (
    "{{- bos_token -}}{%- if messages[0].role == 'system' -%}{{- raise_exception('no system message here') -}}{%- endif -%}"
    + ALTERNATE
    + """{%- for m in messages -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}"""
)

GEMMA_MERGED = (
    "{{- bos_token -}}"
    + ALTERNATE
    + """{%- set start = 1 if messages[0].role == 'system' else 0 -%}
{%- for m in messages[start:] -%}
{{- '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' -}}
{%- set told = messages[0].content -%}
{%- if loop.first and start -%}{{- (told if told is string else told[0].text) + '\\n\\n' -}}{%- endif -%}
{%- if m.content is string -%}{{- m.content | trim -}}
{%- else -%}
{%- for p in m.content -%}{{- '<start_of_image>' if p.type == 'image' else p.text | trim -}}{%- endfor -%}
{%- endif -%}
{{- '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}"""
)

PHI3 = """{%- for m in messages -%}{{- '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- else -%}{{- eos_token -}}{%- endif -%}"""

PHI4 = """{%- for m in messages -%}{{- '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant<|im_sep|>' -}}{%- endif -%}"""

ZEPHYR = """{% for m in messages %}
{{ '<|' + m.role + '|>\\n' + m.content + eos_token }}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

GRANITE = """{%- if messages[0].role != 'system' -%}
{{- '<|start_of_role|>system<|end_of_role|>Today is ' + strftime_now('%d %B %Y') + '.<|end_of_text|>\\n' -}}{%- endif -%}
{%- for m in messages -%}{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\\n' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|start_of_role|>assistant<|end_of_role|>' -}}{%- endif -%}"""

COHERE = """{{- bos_token -}}
{%- set names = {'system': 'SYSTEM', 'user': 'USER', 'assistant': 'CHATBOT'} -%}
{%- for m in messages -%}
{{- '<|START_OF_TURN_TOKEN|><|' + names[m.role] + '_TOKEN|>' -}}
{%- if m.role == 'assistant' -%}{{- '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' -}}
{%- else -%}{{- m.content | trim -}}{%- endif -%}
{{- '<|END_OF_TURN_TOKEN|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>' -}}{%- endif -%}"""

TULU = """{{- bos_token -}}
{%- for m in messages -%}
{{- '<|' + m.role + '|>\\n' + m.content -}}
{%- if m.role == 'assistant' -%}{{- eos_token -}}{%- endif -%}
{%- if not (loop.last and m.role == 'assistant') -%}{{- '\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"""

SMOL = """{%- set told = messages[0].content if messages[0].role == 'system' else 'You are small.' -%}
{{- '<|im_start|>system\\n## Metadata\\n\\nToday: ' + strftime_now('%d %B %Y') + '\\n\\n' + told + '<|im_end|>\\n' -}}
{%- for m in messages if m.role != 'system' -%}
{{- '<|im_start|>' + m.role + '\\n' -}}
{%- if m.role == 'assistant' -%}{% generation %}{{- m.content.lstrip('\\n') + '<|im_end|>\\n' -}}{% endgeneration %}
{%- else -%}{{- m.content + '<|im_end|>\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""

DEEPSEEK = """{{- bos_token -}}
{%- for m in messages -%}
{%- if m.role == 'system' -%}{{- m.content -}}
{%- elif m.role == 'user' -%}{{- '<｜User｜>' + m.content -}}
{%- else -%}{{- '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<｜Assistant｜>' -}}{%- endif -%}"""

VICUNA = """{%- for m in messages -%}
{%- if m.role == 'system' -%}{{- m.content + ' ' -}}
{%- elif m.role == 'user' -%}{{- 'USER: ' + m.content -}}
{%- else -%}{{- ' ASSISTANT: ' + m.content + eos_token -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- ' ASSISTANT:' -}}{%- endif -%}"""

PARTS = """{%- for m in messages -%}
{{- 'User: ' if m.role == 'user' else m.role | capitalize + ': ' -}}
{%- for p in m.content -%}{{- '<picture>' if p.type == 'image' else p.text -}}{%- endfor -%}
{{- '<end_of_utterance>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- 'Assistant:' -}}{%- endif -%}"""

IM = ("<|im_start|>", "<|im_end|>")
COHERE_TOKENS = tuple(
    f"<|{name}|>"
    for name in (
        *("START_OF_TURN_TOKEN", "END_OF_TURN_TOKEN", "START_RESPONSE", "END_RESPONSE"),
        *("SYSTEM_TOKEN", "USER_TOKEN", "CHATBOT_TOKEN"),
    )
)
DEEPSEEK_TOKENS = ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>")

FAMILIES = {
    "chatml": Family(CHATML, "<|im_end|>", IM, eos="<|im_end|>"),
    "chatml, other eos": Family(CHATML, "<|im_end|>", (*IM, "<|endoftext|>"), eos="<|endoftext|>"),
    "thinking": Family(
        *(THINKING, "<|im_end|>", IM),
        eos="<|im_end|>",
        plain_tokens=("<think>", "</think>"),
        lead="<think>\n\n</think>\n\n",
    ),
    "llama-2": Family(LLAMA2, "</s>", ("</s>",), eos="</s>", bos="<s>", adds_bos=True, lead=" ", trims=True),
    "llama-3": Family(
        *(LLAMA3, "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")),
        eos="<|end_of_text|>",
        bos="<|begin_of_text|>",
        adds_bos=True,
        trims=True,
    ),
    "mistral": Family(MISTRAL, "</s>", ("[INST]", "[/INST]"), eos="</s>", bos="<s>", adds_bos=True, lead=" "),
    "gemma": Family(
        *(GEMMA, "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>")),
        eos="<eos>",
        bos="<bos>",
        adds_bos=True,
        trims=True,
        system="refused",
    ),
    "gemma, merged": Family(
        *(GEMMA_MERGED, "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>", "<start_of_image>")),
        eos="<eos>",
        bos="<bos>",
        adds_bos=True,
        trims=True,
    ),
    "phi-3": Family(PHI3, "<|end|>", ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>"), eos="<|endoftext|>"),
    "phi-4": Family(PHI4, "<|im_end|>", (*IM, "<|im_sep|>"), eos="<|im_end|>"),
    "zephyr": Family(ZEPHYR, "</s>", (), eos="</s>", bos="<s>", adds_bos=True),
    "granite": Family(GRANITE, "<|end_of_text|>", ("<|start_of_role|>", "<|end_of_role|>"), eos="<|end_of_text|>"),
    "cohere": Family(COHERE, "<|END_OF_TURN_TOKEN|>", COHERE_TOKENS, eos="<|END_OF_TURN_TOKEN|>", bos="<BOS>", adds_bos=True),
    "tulu": Family(TULU, "<|endoftext|>", (), eos="<|endoftext|>", bos="<|endoftext|>"),
    "smol": Family(SMOL, "<|im_end|>", IM, eos="<|im_end|>"),
    "deepseek": Family(
        *(DEEPSEEK, "<｜end▁of▁sentence｜>", DEEPSEEK_TOKENS), eos="<｜end▁of▁sentence｜>", bos="<｜begin｜>", adds_bos=True
    ),
    "vicuna": Family(VICUNA, "</s>", (), eos="</s>", bos="<s>", adds_bos=True, lead=" "),
    "parts": Family(
        PARTS, "<end_of_utterance>", ("<end_of_utterance>", "<picture>"), eos="</s>", bos="<s>", adds_bos=True, lead=" "
    ),
}

TEXT = "The user asks what this is and how many kites fly. Yes\n\nNo\n\nYou help, Today is a day. Where? 0123456789"


@cache
def _backend(special: tuple[str, ...], plain: tuple[str, ...], bos: str | None) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    lines = pre_tokenizers.Split(Regex(r"\n+|[^\n ]+| "), "isolated")  # newlines merge, as in many families
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([lines, bytes_])  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=list(special),  # pyright: ignore[reportCallIssue]
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([TEXT] * 4, trainer)
    backend.add_tokens([AddedToken(token, special=False) for token in plain])
    if bos is not None:
        backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return backend


def tokenizer(family: Family, template: str | None = None) -> Any:
    """A tokenizer trained on a few words, merges and all, with the family's control tokens and template."""
    named = [token for token in (family.bos, family.eos) if token is not None]
    special = tuple(dict.fromkeys([*named, *family.tokens, "<image>", "<separator>"]))
    backend = _backend(special, family.plain_tokens, family.bos if family.adds_bos else None)
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=family.bos, eos_token=family.eos, clean_up_tokenization_spaces=False
    )
    made.chat_template = template or family.template
    return made
