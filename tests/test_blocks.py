from __future__ import annotations

from pathlib import Path

from .blocks import blocks, to_run

PAGE = """Text.

<!-- not run: needs a network -->
```bash
dragonfly ask https://example.org/a.png "x"
```

```bash
dragonfly ask a.png "What? #1" --zoom \\
    out.png   # a comment
dragonfly info
```

```text
51
```

```yaml
name: x
```
"""


def test_blocks_are_found_with_their_reason_and_their_output(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    found = blocks(tmp_path / "page.md")
    assert [block.kind for block in found] == ["bash", "bash", "text", "yaml"]
    assert [block.reason for block in found[:2]] == ["needs a network", None]
    (block,) = to_run(tmp_path / "page.md")
    assert block.commands == [["dragonfly", "ask", "a.png", "What? #1", "--zoom", "out.png"], ["dragonfly", "info"]]
    assert block.shown == "51\n"
