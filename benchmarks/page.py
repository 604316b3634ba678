"""The page in a browser: what a person does with it, by mouse and by keyboard alone, in light and dark, wide and narrow.

Run: make page (needs Chromium: `apt-get install chromium`), or with playwright and axe-playwright-python installed
    python benchmarks/page.py [--chromium /usr/bin/chromium] [--screenshots DIR] [--output benchmarks/results/page.json]

The server is the command itself with the bundled model, and policy `detail` beside its own. `faults` names every check that
does not hold; axe-core counts what hinders people who use assistive technology, by its own grades of impact. The exit status is 1
where a check fails, or axe-core finds anything that it calls serious or critical.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.serving import server  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402

LONG = 180_000  # milliseconds: the machine may be busy
FOCUSED = "(({ id, ariaLabel, textContent }) => id || ariaLabel || textContent)(document.activeElement)"


class Check:
    """What was looked at in one browser window, and what did not hold."""

    def __init__(self, page: Page, screenshots: Path | None) -> None:
        self.page, self.screenshots = page, screenshots
        self.held: list[str] = []
        self.faults: list[str] = []
        self.axe: dict[str, dict[str, int]] = {}
        self.elsewhere: list[str] = []
        page.set_default_timeout(LONG)
        page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.elsewhere.append(url)

    def holds(self, name: str, fact: object) -> None:
        (self.held if fact else self.faults).append(name)

    def look(self, name: str) -> None:
        """Axe-core's findings, sideways scrolling, and a screenshot, of what is shown now."""
        found = Axe().run(self.page).response["violations"]
        self.axe[name] = dict(Counter(one["impact"] for one in found))
        for one in found:
            if one["impact"] in ("serious", "critical"):
                self.faults.append(f"axe-core: {one['id']} ({name}): {one['nodes'][0]['html'][:120]}")
        wide = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        self.holds(f"nothing lies beside the window ({name})", not wide)
        if self.screenshots is not None:
            self.page.screenshot(path=self.screenshots / f"{name}.png", full_page=True)

    def tab_to(self, wanted: str, most: int = 60) -> bool:
        """Press Tab until what has the focus is called so."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if wanted in str(self.page.evaluate(FOCUSED)):
                return True
        return False

    def answered(self, number: int = 1) -> str:
        self.page.wait_for_selector(f"article:nth-of-type({number})[aria-busy=false]")
        return self.page.locator("article .answer").nth(number - 1).inner_text()


def with_the_mouse(check: Check, address: str, name: str) -> None:
    page = check.page
    page.goto(address)
    page.wait_for_selector("#model:not(:empty)")
    check.look(f"empty-{name}")
    page.set_input_files("#file", files=[{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"}])
    page.wait_for_selector("#fault:not([hidden])")
    check.holds(f"a file that is no image is refused in words ({name})", "notes.txt" in page.inner_text("#fault"))
    page.set_input_files("#file", ROOT / "examples/images/receipt.png")
    page.wait_for_selector("#stage:not([hidden])")
    check.holds(f"the fault goes with the next file ({name})", page.is_hidden("#fault"))
    page.fill("#question", "Give the qty.")
    with page.expect_response("**/v1/chat/completions") as reply:
        page.click("#ask")
    check.holds(f"the answer streams ({name})", reply.value.headers["content-type"].startswith("text/event-stream"))
    check.holds(f"an answer stands beside the image ({name})", check.answered().strip())
    kept = page.locator("rect.kept").count()
    check.holds(
        f"kept sub-images are outlined and are buttons ({name})", kept > 0 and kept == page.locator(".looked button").count()
    )
    page.locator("rect.kept").first.click()
    check.holds(f"a click on an outline magnifies ({name})", page.locator("dialog[open] canvas").count() == 1)
    check.look(f"magnified-{name}")
    page.click("#close")
    page.get_by_text("Why?").click()
    page.wait_for_selector(".looked .share", state="attached")
    check.look(f"answered-{name}")


def with_the_keyboard(check: Check, address: str) -> None:
    page = check.page
    page.goto(address)
    page.wait_for_selector("#examples button")
    check.holds("keyboard: the first thing is the file", check.tab_to("file", 1))
    check.holds("keyboard: an example is reached", check.tab_to("Give the qty."))
    page.keyboard.press("Enter")
    page.wait_for_selector("#stage:not([hidden])")
    page.wait_for_function("document.getElementById('question').value !== ''")
    check.holds("keyboard: the question has the focus", page.evaluate(FOCUSED) == "question")
    page.keyboard.press("Enter")
    check.holds("keyboard: Enter asks", check.answered().strip())
    page.wait_for_function("document.activeElement.id === 'question'")
    page.keyboard.type("Does it show a total or not?")
    page.keyboard.press("Enter")
    check.holds("keyboard: a second question", check.answered(2).strip())
    page.evaluate("document.activeElement.blur()")
    check.holds("keyboard: a sub-image is reached", check.tab_to("Magnify sub-image"))
    page.keyboard.press("Enter")
    check.holds("keyboard: Enter magnifies", page.locator("dialog[open]").count() == 1)
    page.keyboard.press("Escape")
    check.holds("keyboard: Escape closes", page.locator("dialog[open]").count() == 0)
    check.holds("keyboard: the focus returns", "Magnify sub-image" in str(page.evaluate(FOCUSED)))
    check.holds("keyboard: Why? is reached", check.tab_to("Why?"))
    page.keyboard.press("Enter")
    page.wait_for_selector(".looked .share", state="attached")
    check.holds(
        "the contribution is said in words",
        "contribution" in str(page.locator(".looked button").first.get_attribute("aria-label")),
    )


def other_forms(check: Check, address: str) -> None:
    """Files that no browser shows by itself: the server says what they show."""
    image = Image.open(ROOT / "examples/images/receipt.png").convert("RGB")
    for form, kind in (("PDF", "application/pdf"), ("TIFF", "image/tiff"), ("PPM", "")):
        out = io.BytesIO()
        image.save(out, form)
        check.page.goto(address)
        check.page.wait_for_selector("#model:not(:empty)")
        check.page.set_input_files("#file", files=[{"name": "file", "mimeType": kind, "buffer": out.getvalue()}])
        check.page.wait_for_selector("#stage:not([hidden]), #fault:not([hidden])")
        check.holds(f"a {form} is shown", check.page.is_visible("#stage"))
        check.page.fill("#question", "Give the qty.")
        check.page.click("#ask")
        check.holds(f"a {form} is answered", check.answered().strip())


def views(check: Check, address: str) -> None:
    """Files that show several things: the page offers the others, by the keyboard alone, and asks about the one that is shown."""
    page = check.page
    image = Image.open(ROOT / "examples/images/receipt.png").convert("RGB")
    out = io.BytesIO()
    image.save(out, "PDF", save_all=True, append_images=[image.rotate(180)])
    page.goto(address)
    page.wait_for_selector("#model:not(:empty)")
    page.set_input_files("#file", files=[{"name": "two.pdf", "mimeType": "application/pdf", "buffer": out.getvalue()}])
    page.wait_for_selector("#stage:not([hidden])")
    check.holds("views: a PDF of two pages offers the other", page.is_visible("#view") and "1 of 2" in page.inner_text("#noted"))
    page.focus("#view")
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    page.wait_for_selector("#fault:not([hidden])")
    check.holds("views: a page that there is not is refused in words", "no page 9" in page.inner_text("#fault"))
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    page.locator("#noted", has_text="2 of 2").wait_for()
    check.holds("views: the fault goes with the page that there is", page.is_hidden("#fault"))
    check.look("views-1280-light")
    page.fill("#question", "Give the qty.")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.click("#ask")
    check.holds("views: the page that is shown is asked about", '"view":"2"' in (sent.value.post_data or ""))
    check.holds("views: it is answered", check.answered().strip())
    page.click("#another")
    volume = nibabel.Nifti1Image(np.arange(8 * 9 * 10, dtype=np.int16).reshape(8, 9, 10), np.eye(4))
    page.set_input_files("#file", files=[{"name": "volume.nii", "mimeType": "", "buffer": volume.to_bytes()}])
    page.wait_for_selector("#stage:not([hidden])")
    page.fill("#view", "plane=coronal&slice=9")
    page.keyboard.press("Enter")
    page.locator("#noted", has_text="coronal slice 9 of 9").wait_for()
    check.holds("views: another plane of a volume", page.evaluate("document.getElementById('image').naturalHeight") == 10)
    page.click("#another")
    page.set_input_files("#file", ROOT / "examples/images/receipt.png")
    page.wait_for_selector("#stage:not([hidden])")
    check.holds("views: an ordinary image offers none", page.is_hidden("#view"))


def policies(check: Check, address: str, name: str) -> None:
    """The answer under another policy beside the first, by the keyboard."""
    page = check.page
    page.goto(address)
    page.wait_for_selector("#model:not(:empty)")
    page.set_input_files("#file", ROOT / "examples/images/receipt.png")
    page.wait_for_selector("#stage:not([hidden])")
    page.focus("#question")
    page.keyboard.type("Give the qty.")
    check.holds(f"policies: the choice is reached ({name})", check.tab_to("compare", 1))
    page.keyboard.press("ArrowDown")
    check.holds(f"policies: and made ({name})", page.locator("#compare").input_value() == "nano:selection.policy=detail")
    page.focus("#question")
    page.keyboard.press("Enter")
    page.wait_for_selector("article[aria-busy=false]")
    titles = page.locator("article h2").all_inner_texts()
    check.holds(f"policies: two answers stand beside each other ({name})", len(titles) == 2 and "detail" in titles[1])
    check.holds(f"policies: both say something ({name})", all(page.locator("article .answer").all_inner_texts()))
    drawn = [page.locator("article section").nth(number).locator(".frame rect.kept").count() for number in (0, 1)]
    check.holds(f"policies: each has its own overlay ({name})", all(drawn))
    page.locator("article section").nth(1).locator(".looked button").first.focus()
    check.holds(f"policies: the large image shows the one in focus ({name})", titles[1] in page.inner_text("#caption"))
    check.look(f"policies-{name}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome"))
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "page.json")
    options = parser.parse_args()
    if options.chromium is None:
        sys.exit("no Chromium here; install it (apt-get install chromium), or say where it is with --chromium")
    if options.screenshots is not None:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    checks: list[Check] = []
    with server("--compare", "model.selection.policy=detail") as (address, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
        version = browser.version

        def window(work: Callable[..., None], width: int, scheme: Any, *more: Any) -> None:
            context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
            checks.append(Check(context.new_page(), options.screenshots))
            try:
                work(checks[-1], address, *more)
            except Exception as error:
                checks[-1].faults.append(f"{work.__name__} {more}: {str(error).splitlines()[0]}")
            context.close()

        for width in (1280, 420):
            for scheme in ("light", "dark"):
                window(with_the_mouse, width, scheme, f"{width}-{scheme}")
        window(with_the_keyboard, 1280, "light")
        window(other_forms, 1280, "light")
        window(views, 1280, "light")
        window(policies, 1280, "light", "1280-light")
        window(policies, 420, "dark", "420-dark")
        browser.close()
    faults = [fault for check in checks for fault in check.faults] + [
        f"asks {url}" for check in checks for url in check.elsewhere
    ]
    report = {"held": [name for check in checks for name in check.held], "faults": faults}
    axe = {name: found for check in checks for name, found in check.axe.items()}
    write_json(options.output, {**result_header(), "chromium": version, **report, "axe_core": axe})
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
