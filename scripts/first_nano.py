"""Make the first bundled model: a scene reader small enough to train on a laptop's processor in an hour."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from nano_scenes import COLOURS, MID_GRIDS, SHAPES, Scene, make_scene
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import CLIPVisionConfig, CLIPVisionModel, Trainer, TrainingArguments

SIZE, PATCH = 64, 16
HELD_OUT = 10_000_000  # seeds from here on are never trained on
READ_CLASSES = (1 + len(COLOURS), 1 + len(SHAPES), 11, 11)  # nothing, or the colour / shape / tens / units


def vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=SIZE, patch_size=PATCH, hidden_size=128, intermediate_size=512, num_hidden_layers=4,
        num_attention_heads=4, hidden_act="gelu", attn_implementation="eager",
    )  # fmt: skip


class ReadScenes(Dataset):
    def __init__(self, start: int, count: int):
        self.start, self.count = start, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        scene = make_scene(self.start + index, crowded=index % 3 > 0)
        rng = np.random.default_rng((self.start + index, 3))
        tiles, targets = [], []
        for grid in (scene.grid, MID_GRIDS[scene.grid], (1, 1)):
            resized = np.asarray(
                scene.picture.resize((grid[1] * SIZE, grid[0] * SIZE), Image.Resampling.BICUBIC)
            ).transpose(2, 0, 1)
            target = np.concatenate([read_targets(scene, grid, side) for side in (4, 2, 1)], axis=2)
            if grid != scene.grid:
                target[:, :, -1] = -100
            for r in range(grid[0]):
                for c in range(grid[1]):
                    t = target[r, c]
                    if grid == scene.grid and not t.any() and rng.random() < 0.8:
                        continue
                    tiles.append(resized[:, r * SIZE : (r + 1) * SIZE, c * SIZE : (c + 1) * SIZE])
                    targets.append(t)
        return {"tiles": torch.from_numpy(np.stack(tiles)), "targets": torch.from_numpy(np.stack(targets))}


def read_targets(scene: Scene, grid: tuple[int, int], side: int) -> np.ndarray:
    """What each patch should say, int64 (rows, cols, patches, 4): the thing that covers most of it, by `READ_CLASSES`."""
    rows, cols = grid[0] * side, grid[1] * side
    best = np.zeros((rows, cols))
    target = np.zeros((rows, cols, 4), dtype=np.int64)
    for thing in scene.things:
        l, t, r, b = np.array(thing.box) * np.tile([cols / scene.picture.width, rows / scene.picture.height], 2)
        x = np.clip(np.minimum(np.arange(cols) + 1, r) - np.maximum(np.arange(cols), l), 0, None)
        y = np.clip(np.minimum(np.arange(rows) + 1, b) - np.maximum(np.arange(rows), t), 0, None)
        cover = y[:, None] * x[None]
        fine = grid == scene.grid
        label = (1 + list(COLOURS).index(thing.colour), 1 + SHAPES.index(thing.shape),
                 1 + int(thing.number[0]) if fine else -100, 1 + int(thing.number[1]) if fine else -100)
        won = (cover > best) & (cover > 0.06)
        best[won] = cover[won]
        target[won] = label
    return target.reshape(grid[0], side, grid[1], side, 4).transpose(0, 2, 1, 3, 4).reshape(*grid, side * side, 4)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = CLIPVisionModel(vision_config())
        self.head = nn.Linear(128, sum(READ_CLASSES))

    def forward(self, tiles: Tensor, targets: Tensor) -> dict[str, Tensor]:
        hidden = self.tower(normalise(tiles), output_hidden_states=True).hidden_states[-1]
        patches = hidden[:, 1:].unflatten(1, (4, 4))
        pooled = patches.unflatten(2, (2, 2)).unflatten(1, (2, 2)).mean((2, 4)).flatten(1, 2)
        hidden = torch.cat([hidden[:, 1:], pooled, hidden[:, :1]], dim=1)
        logits = self.head(hidden).float().split(READ_CLASSES, dim=-1)
        loss = 0.0
        for i, (classes, part) in enumerate(zip(READ_CLASSES, logits, strict=True)):
            weight = torch.ones(classes)
            weight[0] = 0.15
            loss = loss + functional.cross_entropy(part.flatten(0, 1), targets[..., i].flatten(), weight=weight)
        return {"loss": loss, "guesses": torch.stack([p.argmax(-1) for p in logits], -1)}


def normalise(tiles: Tensor) -> Tensor:
    return tiles.float() / 127.5 - 1.0


def collate(rows):
    return {k: torch.cat([r[k] for r in rows]) for k in rows[0]}


def training_arguments(folder: Path, steps: int, batch: int, rate: float) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=batch, per_device_eval_batch_size=batch, learning_rate=rate,
        lr_scheduler_type="cosine", warmup_steps=50, weight_decay=0.05, adam_beta2=0.98, max_grad_norm=1.0, optim="adamw_torch_fused",
        bf16=True, use_cpu=True, seed=0, report_to=[], logging_steps=50, save_steps=500, save_total_limit=1,
        remove_unused_columns=False, dataloader_num_workers=0, disable_tqdm=True, label_names=["targets"], eval_strategy="steps", eval_steps=200,
    )  # fmt: skip


def score(p):
    g, t = p.predictions, p.label_ids
    out = {}
    for i, n in enumerate(("colour", "shape", "tens", "units")):
        for part, sl in (("patch", slice(0, 16)), ("pool", slice(16, 20)), ("cls", slice(20, 21))):
            gg, tt = g[:, sl], t[:, sl]
            m = (tt[..., i] > 0) & (tt[..., 2] > 0)
            out[f"{n}_{part}"] = float((gg[..., i] == tt[..., i])[m].mean())
            if part != "cls" and i < 2:
                m = (tt[..., i] > 0) & (tt[..., 2] <= 0)
                out[f"{n}_{part}_coarse"] = float((gg[..., i] == tt[..., i])[m].mean())
    m = (t[..., 2] > 0)
    out["number"] = float(((g[..., 2] == t[..., 2]) & (g[..., 3] == t[..., 3]))[m].mean())
    out["none"] = float((g[..., 0] == 0)[t[..., 0] == 0].mean())
    return {k: round(v, 3) for k, v in out.items()}


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--out", type=Path)
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--rate", type=float, default=1e-3)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Reader()
    tr = Trainer(model, training_arguments(a.out, a.steps, a.batch, a.rate), data_collator=collate,
                 train_dataset=ReadScenes(0, a.steps * a.batch), eval_dataset=ReadScenes(HELD_OUT, 100), compute_metrics=score)
    tr.train()
    torch.save(model.state_dict(), a.out / "reader.pt")
