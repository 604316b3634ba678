"""Tables as people write them: any separator, encoding and spelling of the head is the same samples; what is wrong is named."""

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import FORMATS, BadRow, Sample, read
from dragonfly.data.readers.columns import NAMES, named, parse_columns, parts_of
from dragonfly.data.readers.delimited import read_delimited
from dragonfly.data.readers.folders import CLASS_QUESTION

from ..fakes import image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    for name in "ab":
        image().save(tmp_path / "scans" / f"{name}.png")
    return tmp_path


def told(path: Path, **options: object) -> list[tuple[str, str, list[str]]]:
    rows = list(read(path, **options))  # pyright: ignore[reportArgumentType]
    assert all(isinstance(row, Sample) for row in rows), rows
    return [
        (row.messages[0].text, row.messages[1].text, [Path(one.path or "").name for one in row.images])
        for row in rows
        if isinstance(row, Sample)
    ]


ROWS = [("scans/a.png", "Is it, or not?\nSay so.", "No"), ("scans/b.png", "Größe; of “it”?", "3,5 cm")]
EXPECTED = [("Is it, or not?\nSay so.", "No", ["a.png"]), ("Größe; of “it”?", "3,5 cm", ["b.png"])]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize(("suffix", "separator"), [("csv", ","), ("csv", ";"), ("csv", "\t"), ("tsv", "\t")])
def test_every_way_to_write_a_table_is_the_same_rows(folder: Path, encoding: str, suffix: str, separator: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows([("Img Path", "QUERY", "Label"), *ROWS])
    path = folder / f"mine.{suffix}"
    path.write_bytes(text.getvalue().encode(encoding))
    assert told(path) == EXPECTED


def test_what_excel_adds_is_taken_for_what_it_is(folder: Path) -> None:
    path = folder / "mine.csv"
    path.write_text("sep=;\r\nimage;question;answer;;\r\nscans/a.png;Is it?;yes;;\r\n;;;;\r\n\r\nscans/b.png;And it?;no;;\r\n")
    assert told(path) == [("Is it?", "yes", ["a.png"]), ("And it?", "no", ["b.png"])]
    assert [row.place for row in read(path) if isinstance(row, Sample)] == [(str(path), 2), (str(path), 5)]


def test_full_paths_are_taken_and_a_way_out_of_the_folder_is_not(folder: Path) -> None:
    (folder / "sheets").mkdir()
    path = folder / "sheets" / "mine.csv"
    path.write_text(f"image,question,answer\n{folder / 'scans' / 'a.png'},Is it?,yes\n../scans/b.png,And it?,no\n")
    first, second = read(path)
    assert isinstance(first, Sample) and first.images[0].path == str(folder / "scans" / "a.png")
    assert isinstance(second, BadRow) and (second.row, second.reason) == (3, "outside-root")
    refused = list(read(path, image_root=folder / "sheets"))  # who names a folder means it
    assert [row.reason for row in refused if isinstance(row, BadRow)] == ["outside-root"] * 2


def test_every_unusable_row_is_named_by_its_number_in_the_spreadsheet(folder: Path) -> None:
    path = folder / "mine.csv"
    bad = {
        "scans/a.png, ,yes,": "empty-question",
        "scans/a.png,Is it?, ,": "empty-answer",
        "scans/gone.png,Is it?,yes,": "missing-image",
        ",Is it?,yes,": "missing-image",
        "scans/a.png,Is it?,maybe,yes | no": "unanswerable",
        "scans/a.png,Is it, or not?,yes,": "ragged-row",
    }
    path.write_text("\n".join(["image,question,answer,options", "scans/a.png,Is it?,B,yes | no", *bad]) + "\n")
    found = [row for row in read(path) if isinstance(row, BadRow)]
    assert [(row.row, row.reason) for row in found] == list(enumerate(bad.values(), start=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Bild,Frage,Antwort\na.png,x,y\n",
            r"has the columns Bild, Frage, Antwort; .*--columns image=Bild,question=COLUMN,answer=COLUMN",
        ),
        ("scan,question,answer\nscans/a.png,x,y\n", r"none is recognised as image: .*image=scan,question=question,answer=answer"),
        ("image,question\nscans/a.png,x\n", "none is recognised as answer"),
        ("image,question,answer,Question\n", "x"),
        ("image,image,question\n", "two columns named 'image'"),
        ("\n\n", "is empty; its first line names the columns"),
        ('image,question,answer\na.png,"x"y,z\n', "is not a table of text"),
    ],
)
def test_an_unrecognised_table_is_one_line_with_what_to_write(folder: Path, text: str, message: str) -> None:
    path = folder / "mine.csv"
    path.write_text(text)
    if message == "x":
        assert list(read(path)) == []
        return
    with pytest.raises(ValueError, match=message) as caught:
        list(read(path))
    assert "\n" not in str(caught.value)


def test_columns_say_what_names_do_not(folder: Path) -> None:
    path = folder / "mine.csv"
    path.write_text("Bild,Frage,Antwort,label\nscans/a.png,Is it?,ja,7\n")
    given = parse_columns("image=bild, question=Frage,answer=Antwort")
    assert told(path, columns=given) == [("Is it?", "ja", ["a.png"])]
    (row,) = read(path, columns=given)
    assert isinstance(row, Sample) and row.meta == {"label": "7"}  # what plays no part stays
    with pytest.raises(ValueError, match="no column 'Photo' for image; the columns are Bild, Frage"):
        list(read(path, columns={"image": "Photo"}))
    with pytest.raises(ValueError, match=r"'picture' is not one of: image, question"):
        read(path, columns={"picture": "Bild"})
    with pytest.raises(ValueError, match="is not PART=COLUMN"):
        parse_columns("question")


def test_the_first_name_of_the_list_wins_and_case_does_not_matter() -> None:
    assert parts_of(["File Name", "IMG-PATH", "prompt", "Question", "target", "Patient_ID"]) == {
        "image": "IMG-PATH",
        "question": "Question",
        "answer": "target",
        "group": "Patient_ID",
    }


def test_lists_may_be_written_as_text() -> None:
    row = {"question": "q", "answers": '["a", "b"]', "choices": "a | b |c"}
    assert named(row, None) == {"question": "q", "answers": ["a", "b"], "options": ["a", "b", "c"]}


def test_the_page_on_formats_tells_of_every_part_and_format() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = dict(reversed(re.findall(r"^\| `(\w+)` \| ([^|:]*)", page, re.MULTILINE)))  # a name's first row
    assert {part: tuple(rows[part].strip().split(", ")) for part in NAMES} == NAMES
    named = {name for cell in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE) for name in re.findall(r"\w+", cell)}
    assert {*FORMATS, "auto", "manifest"} <= named
    assert CLASS_QUESTION in page


cells = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12).filter(str.strip)


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=4), st.sampled_from(",;\t"))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], separator: str) -> None:
    path = tmp_path_factory.mktemp("t") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([("one", "two", "three"), *rows])
    assert [tuple(row.values()) for row in read_delimited(path).rows()] == rows
