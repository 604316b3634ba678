"""What is written comes back equal, from any row, in bytes that depend on the samples alone."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from dragonfly.data import ImageRef, Manifest, Sample, write_manifest
from dragonfly.data import parquet as parquet_module

from .fakes import image, sample


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    (tmp_path / "images").mkdir()
    rows = []
    for i in range(300):
        path = tmp_path / "images" / f"{i % 7}.png"
        if i < 7:
            image(shade=i).save(path)
        rows.append(
            sample(
                "<image>q",
                f"answer {i} é",
                images=(ImageRef(str(path), group=f"g{i % 3}"),),
                name=f"n{i}",
                evidence=(((0.5, 1.0, 2.25, float(i)),),) if i % 2 else (),
                meta={"licence": "CC0" if i % 2 else "MIT", "detail_px": i, "nested": {"a": [1, None]}},
            )
        )
    return rows


def test_every_row_comes_back_in_any_order(samples: list[Sample], tmp_path: Path) -> None:
    path = write_manifest(samples, tmp_path / "out", rows_per_shard=140)
    manifest = Manifest.open(tmp_path / "out")
    assert path == tmp_path / "out" / "manifest.json"
    assert len(manifest) == 300
    assert list(manifest) == samples
    for index in (299, 0, 139, 140, 128, 279, 280, 127, -1):
        assert manifest[index] == samples[index]
    with pytest.raises(IndexError, match="row 300 of a manifest with 300 rows"):
        manifest[300]
    assert manifest[141].place == (str(tmp_path / "out" / "shard-00001.parquet"), 1)


def test_the_document_counts_what_it_holds(samples: list[Sample], tmp_path: Path) -> None:
    document = json.loads(write_manifest(samples, tmp_path / "out", rows_per_shard=140).read_text())
    assert [shard["rows"] for shard in document["shards"]] == [140, 140, 20]
    assert document["version"] == 1
    assert document["counts"] == {"rows": 300, "images": 300, "answers": 300, "by_source": {"test": 300}}
    assert document["licences"] == {"CC0": 150, "MIT": 150}


def test_equal_samples_give_equal_bytes_and_others_do_not(samples: list[Sample], tmp_path: Path) -> None:
    for name, rows in (("a", samples), ("b", samples), ("c", samples[:-1])):
        write_manifest(iter(rows), tmp_path / name)
    a, b, c = (Manifest.open(tmp_path / name) for name in "abc")
    assert a.sha256 == b.sha256 != c.sha256
    assert (tmp_path / "a/shard-00000.parquet").read_bytes() == (tmp_path / "b/shard-00000.parquet").read_bytes()


def test_images_are_found_after_the_tree_has_moved(samples: list[Sample], tmp_path: Path) -> None:
    write_manifest(samples[:3], tmp_path / "sets" / "out")
    (tmp_path / "elsewhere").mkdir()
    for name in ("sets", "images"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    moved = Manifest.open(tmp_path / "elsewhere" / "sets" / "out")[2].images[0]
    assert moved == ImageRef(str(tmp_path / "elsewhere" / "images" / "2.png"), group="g2")


def test_bytes_make_the_folder_stand_alone(samples: list[Sample], tmp_path: Path) -> None:
    encoded = Path(str(samples[1].images[0].path)).read_bytes()
    write_manifest(samples[:40], tmp_path / "out", store_images="bytes")
    shutil.rmtree(tmp_path / "images")
    manifest = Manifest.open(tmp_path / "out")
    assert manifest[1].images == (ImageRef(bytes=encoded, group="g1"),)
    assert manifest[39].id == "n39"


def test_a_url_stays_a_url(tmp_path: Path) -> None:
    row = sample("<image>q", "a", images=(ImageRef("https://example.org/a.png"),))
    write_manifest([row], tmp_path / "out")
    assert Manifest.open(tmp_path / "out")[0] == row


def test_a_changed_shard_is_found(samples: list[Sample], tmp_path: Path) -> None:
    write_manifest(samples, tmp_path / "out", rows_per_shard=140)
    manifest = Manifest.open(tmp_path / "out")
    manifest.verify()
    shard = tmp_path / "out" / "shard-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00001.parquet has sha256"):
        manifest.verify()
    shard.unlink()
    with pytest.raises(ValueError, match=r"shard-00001.parquet is missing"):
        manifest.verify()
    with pytest.raises(ValueError, match=r"shard-00001.parquet cannot be read"):
        manifest[150]


def test_a_workers_copy_opens_its_own_files(samples: list[Sample], tmp_path: Path) -> None:
    manifest = Manifest.open(write_manifest(samples, tmp_path / "out"))
    assert manifest[5] == samples[5]
    assert pickle.loads(pickle.dumps(manifest))[200] == samples[200]


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no samples to write"),
        ([sample("q", "", name="n9")], {}, "sample 'n9' cannot be written .* empty-answer"),
        ([sample("<image>q", "a", images=(ImageRef(bytes=b"x"),))], {}, "use store_images='bytes'"),
        ([sample("<image>q", "a", images=(ImageRef("gone.png"),))], {"store_images": "bytes"}, "'s' cannot be written"),
        (
            [sample("<image>q", "a", images=(ImageRef("https://x/a"),))],
            {"store_images": "bytes"},
            "download it first",
        ),
        (
            [sample("<image>q", "a", images=(ImageRef(__file__),))],
            {"store_images": "bytes"},
            r"'s' cannot be written .*: not-an-image: ",
        ),
        ([sample("q", "a")], {"store_images": "inline"}, "store_images is 'inline'; accepted: path, bytes"),
        ([sample("q", "a")], {"rows_per_shard": 0}, "rows_per_shard is 0"),
    ],
)
def test_nothing_is_left_where_writing_fails(rows: list[Sample], options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_manifest(rows, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "is not a manifest"),
        ('{"version": 1}', "is not a manifest"),
        ('{"version": 2, "shards": []}', "has version 2; this release reads version 1"),
        ('{"version": 1, "shards": [{"path": "../x", "rows": 1, "sha256": ""}]}', r"names the shard '\.\./x'"),
        ('{"version": 1, "shards": [{"path": "x", "rows": 0, "sha256": ""}]}', "with 0 rows"),
    ],
)
def test_a_strange_document_is_refused(document: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(document)
    with pytest.raises(ValueError, match=message):
        Manifest.open(tmp_path)
    with pytest.raises(ValueError, match=r"no manifest.json at"):
        Manifest.open(tmp_path / "gone")


def test_row_counts_must_agree(samples: list[Sample], tmp_path: Path) -> None:
    path = write_manifest(samples, tmp_path / "out")
    path.write_text(path.read_text().replace('"rows": 300', '"rows": 301'))
    with pytest.raises(ValueError, match=r"has 300 rows, .* says 301"):
        Manifest.open(path)[0]


def test_without_pyarrow_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install .*\[train\]'"):
        parquet_module.import_pyarrow()


def test_relative_paths_are_those_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image().save("a.png")
    write_manifest([sample("<image>q", "a", images=(ImageRef("a.png"),))], "sub/out")
    (found,) = Manifest.open("sub/out")[0].images
    assert found.path is not None
    assert Path(found.path).samefile("a.png")


def test_few_row_groups_are_kept_in_memory(tmp_path: Path) -> None:
    write_manifest((sample("q", str(i)) for i in range(600)), tmp_path / "out", store_images="bytes")
    manifest = Manifest.open(tmp_path / "out")
    assert sum(1 for _ in manifest) == 600
    assert len(manifest._groups) == 8 < 600 / 32
