"""Every source's published layout in small, made by us: at least three good pieces and one broken one each.

Images differ from file to file, except where a data set's own test split shows an image of its training split, as VQA-RAD's does.
"""

import gzip
import json
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  Cough.

 FINDINGS:

 The lungs are clear.  There is
 no effusion.

 IMPRESSION:  Normal chest.
"""


def png(shade: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (6, 4), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def image(path: Path, shade: int | None = None) -> None:
    """An image of one shade, or of noise that depends on its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(noise(zlib.crc32(str(path).encode())) if shade is None else png(shade))


def noise(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(blocks).resize((40, 30), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def write_json(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_lines(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def turns(question: Any, answer: str) -> list[dict[str, Any]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def sharegpt4v(folder: Path) -> None:
    for number in (1, 2, 3):
        image(folder / f"coco/train2017/{number}.jpg")
    row = {"image": "coco/train2017/1.jpg", "conversations": turns("Describe it.\n<image>", "A cat.")}
    missing = {"id": "4", "image": "sam/images/none.jpg", "conversations": turns("<image>\nQ", "A")}
    write_json(folder / "sharegpt4v_instruct_gpt4-vision_cap100k.json", [{"id": "1", **row}, missing])
    rows = [{"id": n, "image": f"coco/train2017/{n}.jpg", "conversations": turns("<image>\nWhat is it?", "A dog.")} for n in "23"]
    write_json(folder / "share-captioner_coco_lcs_sam_1246k_1107.json", rows)


def allava(folder: Path) -> None:
    image(folder / "allava_laion/images/1.jpeg")
    image(folder / "allava_vflan/images/images_191task_1k/2.png")
    laion = {"image": "allava_laion/images/1.jpeg", "original_caption": "x", "url": "http://example.org"}
    write_json(
        folder / "allava_laion/ALLaVA-Caption-LAION-4V.json",
        [{"id": "allava_laion_cap_1", **laion, "conversations": turns("<image>\nDepict it.", "A ring.")}],
    )
    write_json(
        folder / "allava_laion/ALLaVA-Instruct-LAION-4V.json",
        [
            {"id": "allava_laion_inst_1", **laion, "conversations": turns("<image>\nIs it gold?", "No, silver.")},
            {"id": "allava_laion_inst_2", **laion, "conversations": turns(["<image>", "Is it gold?"], "No.")},
        ],
    )
    write_json(
        folder / "allava_vflan/ALLaVA-Instruct-VFLAN-4V.json",
        [
            {
                "id": "allava_vflan_inst_9",
                "image": "allava_vflan/images/images_191task_1k/2.png",
                "conversations": turns("<image>\nWhat is drawn?", "A guitar."),
            }
        ],
    )


def svit(folder: Path) -> None:
    image(folder / "raw/VG_100K/11.jpg")
    image(folder / "raw/VG_100K_2/12.jpg")
    index = [
        {"image_id": n, "url": f"https://cs.stanford.edu/people/rak248/{d}/{n}.jpg"}
        for n, d in ((11, "VG_100K"), (12, "VG_100K_2"))
    ]
    write_json(folder / "raw/annotations/vg/image_data.json", index)

    def said(*texts: str) -> dict[str, Any]:
        return {"content": [{"from": ("user", "gpt")[n % 2], "value": text} for n, text in enumerate(texts)]}

    write_json(
        folder / "data/conversation.json",
        [
            {"image_id": 11, "conversations": [said("Who?", "A man.", "Where?", "Outside."), said("What?", "A bench.")]},
            {"image_id": 12, "conversations": [said("Who?", "A dog.")]},
        ],
    )
    write_json(folder / "data/complex_reasoning.json", [{"image_id": 99, "conversations": [said("Why?", "Because.")]}])


def cauldron(folder: Path) -> None:
    def row(number: int, *texts: tuple[str, str]) -> dict[str, Any]:
        images = [{"bytes": noise(100 + number), "path": None}]
        return {"images": images, "texts": [{"user": q, "assistant": a, "source": "X"} for q, a in texts]}

    write_parquet(folder / "ai2d/train-00000-of-00001-abc.parquet", [row(1, ("Q1", "A1"), ("Q2", "A2")), row(2, ("Q3", "A3"))])
    write_parquet(folder / "websight/train/0000.parquet", [row(3, ("Write HTML.", "<p>")), {"images": [], "texts": []}])


def llava_pretrain(folder: Path) -> None:
    rows = []
    for number in range(3):
        image(folder / f"images/0000{number}/0000{number}.jpg")
        name = f"0000{number}"
        rows.append({"id": name, "image": f"{name}/{name}.jpg", "conversations": turns("Say it.\n<image>", f"words {number}")})
    write_json(folder / "blip_laion_cc_sbu_558k.json", [*rows, {"id": "x", "image": "00000/00000.jpg"}])


def arxivcap(folder: Path) -> None:
    def pair(shade: int, sub: str | None) -> dict[str, Any]:
        return {"sub_caption": sub, "image_file": "f.png", "image": {"bytes": noise(200 + shade), "path": None}, "image_ocr": []}

    figures = [{"caption": "Loss curves.", "cil_pairs": [pair(1, "(a) train"), pair(2, "(b) test")]}]
    write_parquet(
        folder / "data/1001.parquet",
        [
            {"arxiv_id": "1001.0001", "caption_images": figures},
            {"arxiv_id": "1001.0002", "caption_images": [{"caption": "A map.", "cil_pairs": [pair(3, None)]}]},
            {"arxiv_id": "1001.0003", "caption_images": [{"caption": "", "cil_pairs": [pair(4, " ")]}]},
        ],
    )


def openhermes(folder: Path) -> None:
    rows: list[dict[str, Any]] = [{"source": "airoboros2.2", "category": "qa", "conversations": turns("Hi", "Hello")}]
    rows.append({"source": None, "conversations": [{"from": "system", "value": "Be brief."}, *turns("2+2?", "4")]})
    rows.append({"source": "metamath", "conversations": turns("3+3?", "6")})
    rows.append({"source": "glaive", "conversations": [{"from": "human", "value": "alone"}]})
    write_json(folder / "openhermes2_5.json", rows)


def mathinstruct(folder: Path) -> None:
    good = [{"source": "data/CoT/aqua_rat.json", "instruction": f"What is {n} + {n}?", "output": str(2 * n)} for n in range(3)]
    write_json(folder / "MathInstruct.json", [*good, {"source": "data/CoT/x.json", "instruction": "What is 5?", "output": ""}])


def _llava_med_rows(folder: Path, key: str = "conversations", with_image: bool = True) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name in ("25639867_F2", "25639867_F3", "30000001_F1"):
        image(folder / f"images/{name}.jpg")
        named = {"image": f"{name}.jpg"} if with_image else {}
        rows.append({"id": name, **named, "domain": {"mri": True}, key: turns("Describe it.\n<image>", f"An MRI, {name}.")})
    return [*rows, {"id": "1_F1", "image": "1_F1.jpg", key: turns("Describe it.\n<image>", "Gone.")}]


def llava_med_alignment(folder: Path) -> None:
    write_json(folder / "alignment/llava_med_alignment_500k.json", _llava_med_rows(folder, "conversatons"))


def llava_med_60k(folder: Path) -> None:
    write_json(folder / "instruct/llava_med_instruct_60k.json", _llava_med_rows(folder, with_image=False))


def llava_med_60k_im(folder: Path) -> None:
    write_json(folder / "instruct/llava_med_instruct_60k_inline_mention.json", _llava_med_rows(folder))


def llava_med_instruct(folder: Path) -> None:
    write_json(folder / "instruct/llava_med_instruct_60k_inline_mention.json", _llava_med_rows(folder))
    write_json(folder / "instruct/llava_med_instruct_60k.json", _llava_med_rows(folder)[:3])


def medicat(folder: Path) -> None:
    def row(article: str, figure: str, **fields: Any) -> str:
        image(folder / f"figures/{article}_{figure}")
        oa = {"oa": {"license": "cc-by"}, "doi": "10.1/x"}
        return json.dumps({"pdf_hash": article, "fig_uri": figure, "predicted_type": "Medical images", "oa_info": oa, **fields})

    lines = [
        row("aa", "2-Figure1-1.png", s2_caption="Figure 1. CT of the chest. "),
        row("aa", "3-Figure2-1.png", s2_caption=None, s2orc_caption="Figure 2. MRI."),
        row("bb", "1-Figure1-1.png", s2_caption="A scan.", oa_info=None, predicted_type=None),
        '{"pdf_hash": "cc", "fig_uri"',
    ]
    write_lines(folder / "s2_full_figures.jsonl", lines)


def roco(folder: Path) -> None:
    root = folder / "data/train/radiology"
    files = {"ROCO_00002": "PMC4083729_AMHSR-4-14-g002.jpg", "ROCO_00003": "PMC2837471_a.jpg", "ROCO_00005": "PMC2837471_b.jpg"}
    for name in ("PMC4083729_AMHSR-4-14-g002.jpg", "PMC2837471_a.jpg", "ROCO_00005.jpg"):
        image(root / "images" / name)
    rows = [
        f"{roco},{file},{licence}" for (roco, file), licence in zip(files.items(), ("CC BY-NC-SA", "CC BY", "CC BY"), strict=True)
    ]
    write_lines(root / "licences.txt", ["ROCO_ID,PMC_ID,CC", *rows])
    captions = [
        "ROCO_00002\t Computed tomography of the chest.",
        "ROCO_00003\t X-ray.",
        'ROCO_00005\t MRI of "the" knee.',
        "ROCO_00007\t Lost.",
    ]
    write_lines(root / "captions.txt", captions)
    test = folder / "data/test/radiology"
    image(test / "images/PMC1_a.jpg")
    write_lines(test / "licences.txt", ["ROCO_ID,PMC_ID,CC", "ROCO_90001,PMC1_a.jpg,CC BY"])
    write_lines(test / "captions.txt", ["ROCO_90001\t Ultrasound of the liver."])


def openpath(folder: Path) -> None:
    for number in (1, 2, 3):
        image(folder / f"images/{number}.jpg")
    lines = [
        "image,caption,part,post",
        'images/1.jpg,"Skin, H&E.",tweet,77',
        "images/2.jpg,Nice case,reply,77",
        "images/3.jpg,Liver,pathlaion,",
    ]
    write_lines(folder / "openpath.csv", [*lines, "images/3.jpg,no cell for the rest"])


def mimic_cxr(folder: Path) -> None:
    studies = [
        ("10000032", "50414267", "d1", "train"),
        ("10000032", "50414267", "d2", "train"),
        ("10000032", "53189527", "d3", "train"),
    ]
    studies += [("11000033", "50414268", "d4", "test"), ("11000033", "50999999", "d5", "train")]
    for patient, study, dicom, _ in studies:
        below = f"files/p{patient[:2]}/p{patient}/s{study}"
        image(folder / below / f"{dicom}.jpg")
        report = REPORT if study != "53189527" else REPORT.replace("FINDINGS:", "COMPARISON:")
        if study != "50999999":
            write_lines(folder / f"mimic-cxr-reports/{below}.txt", [report])
    lines = ["dicom_id,study_id,subject_id,split", *(f"{d},{s},{p},{split}" for p, s, d, split in studies)]
    (folder / "mimic-cxr-2.0.0-split.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))


def kaggle_dr(folder: Path) -> None:
    lines = ["image,level"]
    for name, level in (("10_left", 0), ("10_right", 2), ("13_left", 4)):
        image(folder / f"train/{name}.jpeg")
        lines.append(f"{name},{level}")
    write_lines(folder / "trainLabels.csv", [*lines, "13_right,mild"])


def ddr(folder: Path) -> None:
    for split, name in (("train", "007-0004-000.jpg"), ("train", "007-0004-001.jpg"), ("valid", "007-0009-000.jpg")):
        image(folder / "DR_grading" / split / name)
    write_lines(folder / "DR_grading/train.txt", ["007-0004-000.jpg 0", "007-0004-001.jpg 5", "007-0005-000.jpg 1"])
    write_lines(folder / "DR_grading/valid.txt", ["007-0009-000.jpg 3"])


def _asked(seed: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        def row(image: int, question: str, answer: str | None) -> dict[str, Any]:
            return {"image": {"bytes": noise(seed + image), "path": None}, "question": question, "answer": answer}

        good = [row(n, f"Is it {n}? ", ("no", "yes")[n % 2]) for n in range(3)]
        write_parquet(folder / "data/train-00000-of-00001-abc.parquet", [*good, row(9, "Is it?", None)])
        write_parquet(folder / "data/test-00000-of-00001-abc.parquet", [row(0, "Is it cold?", "no"), row(7, "Is it 7?", "no")])

    return write


def slake(folder: Path) -> None:
    image(folder / "imgs/xmlab1/source.jpg")
    row = {
        "img_id": 1,
        "img_name": "xmlab1/source.jpg",
        "answer_type": "CLOSED",
        "content_type": "Organ",
        "modality": "MRI",
        "qid": 1,
    }
    rows = [
        {**row, "question": "Is there a liver?", "answer": "Yes", "q_lang": "en"},
        {**row, "question": "What is shown?", "answer": "Abdomen", "q_lang": "en"},
        {**row, "question": "图中有肝脏吗?", "answer": "有", "q_lang": "zh"},
        {**row, "img_name": "xmlab2/source.jpg", "question": "Is it CT?", "answer": "No", "q_lang": "en"},
    ]
    write_json(folder / "train.json", rows)
    image(folder / "imgs/xmlab9/source.jpg")
    write_json(folder / "test.json", [{**rows[0], "img_name": "xmlab9/source.jpg"}])


def _captioned(images: str, names: tuple[str, ...]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            image(folder / images / name)
        lines = [f'{name}\tNormal "chest". Lungs clear {number}.' for number, name in enumerate(names)]
        write_lines(folder / "train_images.tsv", [*lines, "nothing-but-a-name.png"])
        image(folder / images / "CXR99_IM-0001-1001.png")
        write_lines(folder / "test_images.tsv", ["CXR99_IM-0001-1001.png\tOne of the test split."])

    return write


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "sharegpt4v": sharegpt4v,
    "allava": allava,
    "svit": svit,
    "cauldron": cauldron,
    "llava-pretrain": llava_pretrain,
    "arxivcap": arxivcap,
    "openhermes": openhermes,
    "mathinstruct": mathinstruct,
    "llava-med-alignment": llava_med_alignment,
    "llava-med-instruct": llava_med_instruct,
    "llava-med-60k-im": llava_med_60k_im,
    "llava-med-60k": llava_med_60k,
    "medicat": medicat,
    "mimic-cxr": mimic_cxr,
    "openpath": openpath,
    "kaggle-dr": kaggle_dr,
    "ddr": ddr,
    "roco": roco,
    "vqa-rad": _asked(300),
    "slake": slake,
    "path-vqa": _asked(400),
    "iu-xray": _captioned("iu_xray_images", ("CXR1_1_IM-0001-3001.png", "CXR1_1_IM-0001-4001.png", "CXR2_IM-0652-1001.png")),
    "peir-gross": _captioned("peir_gross_images", ("PEIR_1.jpg", "PEIR_2.jpg", "PEIR_3.jpg")),
}
