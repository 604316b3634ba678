"""Make the bundled model `assets/nano` from nothing: tokenizer, training, weights. `measure_nano.py` then measures it.

    python scripts/first_nano.py --out runs/nano

About 40 minutes of one processor core. Four stages, each resumed from its last checkpoint and skipped once finished:

read    the vision tower alone learns what stands in a sub-image, at all three levels (a linear head says it);
close   tower frozen, projector begun as that head; the language model answers about one close-up, then two, three, four;
full    the same model on whole pictures: low, mid and the high sub-images that the selection keeps;
export  bfloat16 weights, processor and tokenizer.

Short trials, one run each and not told apart from one another: stage `close` with one to four close-ups mixed from the
beginning, and whole pictures straight after single ones, were both still near guessing when they were stopped.

Promises: every example follows from its seed. Does not know: any picture but those of `nano_scenes.py`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nano_scenes import COLOURS, MID_GRIDS, SHAPES, Question, Scene, ask_about, close_up, make_scene
from PIL import Image
from safetensors.torch import load_model, save_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

import dragonfly
from dragonfly.files import atomic_directory, result_header, write_json
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor, DragonflyProcessor
from dragonfly.models.presets import HIGH_24, MID
from dragonfly.vision.layout import make_layout
from dragonfly.vision.spec import EncoderSpec, LevelSpec, SelectionSpec
from dragonfly.vision.tiling import cut

ROOT = Path(__file__).resolve().parents[1]
STEPS = {"read": 1300, "close": 1500, "full": 2800}
BATCH = {"read": 16, "close": 8, "full": 4}  # pictures; small ones reached the same loss with fewer pictures
RATE = {"read": 1e-3, "close": 1.5e-3, "full": 1.5e-3}
SIZE, PATCH, POOL = 64, 16, 2
LOW = LevelSpec(((1, 1),))
CLOSE = EncoderSpec(SIZE, PATCH, low=LevelSpec(((1, 1),), POOL))
FULL = EncoderSpec(
    SIZE,
    PATCH,
    low=LOW,
    mid=LevelSpec(MID, POOL),
    high=LevelSpec(tuple(grid for _, grids in HIGH_24 for grid in grids), POOL),
    partners=HIGH_24,
    selection=SelectionSpec("detail", "region", keep=3),
)
PAD, BEGIN, END, IMAGE, SEPARATOR = "<|pad|>", "<|begin_of_text|>", "<|eot_id|>", "<image>", "<separator>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{{- bos_token -}}{%- for message in messages -%}{{- '<|' + message.role + '|>' -}}"
    "{%- if message.role == 'assistant' -%}{%- generation -%}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content -%}{{- part.text -}}{%- endfor -%}{%- endif -%}"
    "{{- eos_token -}}{%- endgeneration -%}"
    "{%- elif message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content -%}"
    "{{- '" + IMAGE + "' if part.type == 'image' else part.text -}}{%- endfor -%}{%- endif -%}"
    "{%- endfor -%}{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
READ_CLASSES = (1 + len(COLOURS), 1 + len(SHAPES), 11, 11)  # class 0 is nothing; then colour, shape, tens, units
FIRST_SEED = {"read": 0, "close": 1_000_000, "full": 2_000_000, "held-out": 10_000_000}


# --- stage read: the tower learns what stands where ---------------------------------------------------------------------


class ReadScenes(Dataset):
    """Sub-images of all levels with what each token should say; two scenes in three are crowded."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        seed = FIRST_SEED["read"] + index
        scene = make_scene(seed, crowded=index % 3 > 0)
        rng = np.random.default_rng((seed, 3))
        tiles, targets = [], []
        for grid in (scene.grid, MID_GRIDS[scene.grid], (1, 1)):
            fine = grid == scene.grid
            size = (grid[1] * SIZE, grid[0] * SIZE)
            pixels = np.asarray(scene.picture.resize(size, Image.Resampling.BICUBIC))
            said = np.concatenate([read_targets(scene, grid, side, fine) for side in (4, 2, 1)], axis=2)
            for row, col in np.ndindex(grid):
                if fine and not said[row, col].any() and rng.random() < 0.8:
                    continue  # most empty sub-images teach nothing new
                tiles.append(pixels[row * SIZE :, col * SIZE :][:SIZE, :SIZE].transpose(2, 0, 1))
                targets.append(said[row, col])
        return {"tiles": torch.from_numpy(np.stack(tiles)), "targets": torch.from_numpy(np.stack(targets))}


def read_targets(scene: Scene, grid: tuple[int, int], side: int, fine: bool) -> np.ndarray:
    """What each of `side` x `side` windows of every sub-image should say: int64 (rows, cols, side * side, 4).

    A window says the thing that covers most of it, by `READ_CLASSES`. Numbers are asked for at the high level alone (`fine`),
    and the whole sub-image (side 1, said by CLS) too, since elsewhere it holds several things; -100 asks nothing.
    """
    rows, cols = grid[0] * side, grid[1] * side
    scale = np.tile([cols / scene.picture.width, rows / scene.picture.height], 2)
    best = np.full((rows, cols), 0.06)
    target = np.zeros((rows, cols, 4), dtype=np.int64)
    for thing in scene.things:
        left, top, right, bottom = np.array(thing.box) * scale
        across = np.minimum(np.arange(cols) + 1, right) - np.maximum(np.arange(cols), left)
        down = np.minimum(np.arange(rows) + 1, bottom) - np.maximum(np.arange(rows), top)
        cover = np.maximum(down, 0)[:, None] * np.maximum(across, 0)
        digits = [1 + int(digit) for digit in thing.number] if fine else [-100, -100]
        won = cover > best
        best[won] = cover[won]
        target[won] = [1 + list(COLOURS).index(thing.colour), 1 + SHAPES.index(thing.shape), *digits]
    if side == 1 and not fine:
        target[:] = -100
    return target.reshape(grid[0], side, grid[1], side, 4).transpose(0, 2, 1, 3, 4).reshape(*grid, side * side, 4)


class Reader(nn.Module):
    """The tower with a linear head over its patches, over their 2 x 2 means (what the connector pools) and over CLS."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = CLIPVisionModel(vision_config())
        self.head = nn.Linear(self.tower.config.hidden_size, sum(READ_CLASSES))

    def forward(self, tiles: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Tiles (n, 3, 64, 64) uint8 and targets (n, 21, 4) to the mean cross-entropy, empty windows at 0.15."""
        hidden = self.tower(scale_pixels(tiles), output_hidden_states=True).hidden_states[-1]
        side = SIZE // PATCH // POOL
        windows = hidden[:, 1:].unflatten(1, (side, POOL, side, POOL)).mean(dim=(2, 4)).flatten(1, 2)
        said = self.head(torch.cat([hidden[:, 1:], windows, hidden[:, :1]], dim=1)).float()
        loss = said.new_zeros(())
        for index, logits in enumerate(said.split(READ_CLASSES, dim=-1)):
            weight = torch.ones(READ_CLASSES[index])
            weight[0] = 0.15
            loss = loss + functional.cross_entropy(logits.flatten(0, 1), targets[..., index].flatten(), weight=weight)
        return {"loss": loss}


def vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        hidden_act="gelu",
        attn_implementation="eager",  # pyright: ignore[reportCallIssue] - SDPA's backward is far slower for 17 tokens
    )


def scale_pixels(tiles: Tensor) -> Tensor:
    """uint8 to [-1, 1]: the image processor's mean and std of 0.5."""
    return tiles.float() / 127.5 - 1.0


# --- stages close and full: questions and answers -----------------------------------------------------------------------


def build_tokenizer() -> Any:
    """Byte-level BPE whose few merges are the questions' own words: any text round-trips, digits stay single."""
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    questions = (q for seed in range(1500) for q in ask_about(make_scene(seed), seed))
    special = [PAD, BEGIN, END, *ROLES, IMAGE, SEPARATOR]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=sorted(byte_level.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator((text for q in questions for text in (q.text, q.answer)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE, "separator_token": SEPARATOR},
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )


def build_model(tokenizer: Any, spec: EncoderSpec) -> DragonflyForConditionalGeneration:
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.09,  # 1 / sqrt(hidden): transformers' 0.02 is meant for widths in the thousands
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = DragonflyConfig(
        vision_config=vision_config(),
        text_config=text,
        encoder=spec.to_dict(),
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        separator_token_id=tokenizer.convert_tokens_to_ids(SEPARATOR),
        vision_feature_layer=-1,  # all four layers were trained to say what they see; nothing is left to cut off
        tie_word_embeddings=True,
    )
    return DragonflyForConditionalGeneration(config)


@torch.no_grad()
def speak(model: DragonflyForConditionalGeneration, reader: Reader, tokenizer: Any) -> None:
    """Start the projector as the read head put into words: what says "red circle 4 2" begins near the sum of those embeddings.

    The intent: looking something up is then comparing words with words. Units are the digit's embedding shifted by one place, or
    42 and 24 would be the same sum.
    """
    table: Any = model.get_input_embeddings().weight

    def ids(words: Sequence[str]) -> Tensor:
        rows = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        assert all(len(row) == 1 for row in rows), "every answer word is one token"
        return torch.tensor([row[0] for row in rows])

    for words in (list(COLOURS), SHAPES):
        table[ids(words)] = table[ids([" " + word for word in words])]  # the same word at the beginning of an answer
    digits = table[ids([str(digit) for digit in range(10)])]
    vectors = (table[ids(list(COLOURS))], table[ids(SHAPES)], digits, digits.roll(1, dims=1))
    projector: Any = model.model.multi_modal_projector
    projector.weight.zero_()
    projector.bias.zero_()
    for vector, weight, bias in zip(
        vectors, reader.head.weight.split(READ_CLASSES), reader.head.bias.split(READ_CLASSES), strict=True
    ):
        projector.weight += 0.15 * vector.T @ (weight[1:] - weight[1:].mean(dim=0))
        projector.bias += 0.15 * vector.T @ (bias[1:] - bias[1:].mean())


def encode(
    tokenizer: Any, spec: EncoderSpec, pictures: Sequence[Image.Image], questions: Sequence[Question]
) -> dict[str, Tensor]:
    """One conversation: the pictures, then every question with its answer as a turn; loss on answers only."""
    layouts = [make_layout((picture.height, picture.width), spec) for picture in pictures]
    block = "".join(IMAGE * count + SEPARATOR for layout in layouts for count in layout.token_counts)
    messages = []
    for question in questions:
        messages += [{"role": "user", "content": question.text}, {"role": "assistant", "content": question.answer}]
    messages[0]["content"] = block + messages[0]["content"]
    row = tokenizer.apply_chat_template(
        messages, chat_template=TEMPLATE, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, answers = torch.tensor(row["input_ids"]), torch.tensor(row["assistant_masks"], dtype=torch.bool)
    tiles = np.stack([cut(picture, layout) for picture, layout in zip(pictures, layouts, strict=True)])
    return {
        "input_ids": ids,
        "labels": torch.where(answers, ids, -100),
        "pixel_values": torch.from_numpy(tiles).permute(0, 1, 4, 2, 3),
        "sub_image_regions": torch.tensor([layout.codes for layout in layouts]),
    }


class AskScenes(Dataset):
    """Conversations about scenes: close-ups of one to four things, or the whole picture."""

    def __init__(self, stage: str, count: int, tokenizer: Any) -> None:
        self.stage, self.count, self.tokenizer = stage, count, tokenizer

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        seed = FIRST_SEED[self.stage] + index
        scene = make_scene(seed)
        if self.stage == "full":
            return encode(self.tokenizer, FULL, [scene.picture], ask_about(scene, seed))
        few = 1 + max(0, 6 * index // self.count - 2)  # one thing for the first half of the stage, then two, three, four
        near = [close_up(scene, thing) for thing in scene.things[:few]]
        seen = Scene(near[0].picture, (1, 1), tuple(thing for one in near for thing in one.things))
        return encode(self.tokenizer, CLOSE, [one.picture for one in near], ask_about(seen, seed))


def collate(rows: Sequence[dict[str, Tensor]], pad: int) -> dict[str, Tensor]:
    """Pad texts on the right; pictures of all rows one after another, as the model wants them."""
    pad_rows = partial(nn.utils.rnn.pad_sequence, batch_first=True)
    ids = pad_rows([row["input_ids"] for row in rows], padding_value=pad)
    return {
        "input_ids": ids,
        "attention_mask": (ids != pad).long(),
        "labels": pad_rows([row["labels"] for row in rows], padding_value=-100),
        "pixel_values": scale_pixels(torch.cat([row["pixel_values"] for row in rows])),
        "sub_image_regions": torch.cat([row["sub_image_regions"] for row in rows]),
    }


# --- the run ------------------------------------------------------------------------------------------------------------


def train(stage: str, model: nn.Module, data: Dataset, collator: Any, out: Path, steps: int) -> None:
    """Train with transformers' Trainer, or read the finished stage from `out`; a stopped run goes on where it was."""
    folder = out / stage
    done = folder / "finished.safetensors"
    if not done.exists():
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            per_device_train_batch_size=BATCH[stage],
            learning_rate=RATE[stage],
            lr_scheduler_type="cosine",
            warmup_steps=50,
            weight_decay=0.05,
            adam_beta2=0.98,
            optim="adamw_torch_fused",
            bf16=True,
            use_cpu=True,
            seed=0,
            report_to=[],
            logging_steps=25,
            save_steps=100,
            save_total_limit=1,
            train_sampling_strategy="sequential",  # seeds are in no order, and stage `close` grows harder
            remove_unused_columns=False,
            disable_tqdm=True,
        )
        trainer = Trainer(model, arguments, data_collator=collator, train_dataset=data)
        trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.is_dir() else None)
        save_model(model, str(done))
    load_model(model, str(done))


def train_all(out: Path, steps: dict[str, int]) -> tuple[DragonflyForConditionalGeneration, Any]:
    """Stages read, close and full."""
    torch.manual_seed(0)
    reader = Reader()
    joined: Any = lambda rows: {key: torch.cat([row[key] for row in rows]) for key in rows[0]}  # noqa: E731
    train("read", reader, ReadScenes(steps["read"] * BATCH["read"]), joined, out, steps["read"])
    tokenizer = build_tokenizer()
    pad = partial(collate, pad=tokenizer.pad_token_id)
    model = build_model(tokenizer, CLOSE)
    model.model.vision_tower.load_state_dict(reader.tower.state_dict(), strict=False)
    speak(model, reader, tokenizer)
    for stage, spec in (("close", CLOSE), ("full", FULL)):
        before, model = model, build_model(tokenizer, spec)
        model.load_state_dict(before.state_dict())
        model.model.vision_tower.requires_grad_(False)
        train(stage, model, AskScenes(stage, steps[stage] * BATCH[stage], tokenizer), pad, out, steps[stage])
    return model, tokenizer


def export(model: DragonflyForConditionalGeneration, tokenizer: Any, target: Path, record: dict[str, Any]) -> None:
    """Weights in bfloat16, processor, tokenizer and chat template: what `dragonfly.load` reads; `dragonfly.json` says whence."""
    images = DragonflyImageProcessor(encoder=FULL.to_dict(), image_mean=[0.5] * 3, image_std=[0.5] * 3)
    header = result_header()
    shutil.rmtree(target, ignore_errors=True)
    with atomic_directory(target) as folder:
        model.bfloat16().save_pretrained(folder)
        DragonflyProcessor(images, tokenizer, chat_template=TEMPLATE).save_pretrained(folder)
        origin = {key: header[key] for key in ("date", "commit", "dirty", "versions")}
        write_json(folder / "dragonfly.json", {"version": dragonfly.__version__, **record, **origin})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run: logs, checkpoints, the stages' weights")
    parser.add_argument("--target", type=Path, default=ROOT / "src/dragonfly/assets/nano", help="folder of the model")
    parser.add_argument("--note", default="", help="what was special about this run, for dragonfly.json")
    for stage, count in STEPS.items():
        parser.add_argument(f"--{stage}-steps", type=int, default=count)
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = {stage: getattr(options, f"{stage}_steps") for stage in STEPS}
    model, tokenizer = train_all(options.out, steps)
    record = {"made_by": "scripts/first_nano.py", "steps": steps, "batch": BATCH, "learning_rate": RATE, "seeds": FIRST_SEED}
    export(model, tokenizer, options.target, {**record, "note": options.note})


if __name__ == "__main__":
    main()
