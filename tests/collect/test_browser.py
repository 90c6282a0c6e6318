"""The page in a real browser: on a phone and a laptop, zoomed, and where something is wrong."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from browser import Page, chromium, collecting, needs_chromium

from ddecli.data.votes import read_votes

pytestmark = needs_chromium


@pytest.mark.parametrize(("width", "height"), [(360, 640), (1280, 720)])
def test_it_fits_a_phone_and_a_laptop(folders: list[Path], tmp_path: Path, width: int, height: int) -> None:
    from selenium.webdriver.common.keys import Keys

    (folders[0] / "0.txt").write_text("a very long prompt, with an unbroken " + 40 * "word" + " in it, " * 40)
    with chromium(width, height) as driver, collecting(tmp_path, *folders) as (address, _):
        page = Page(driver, address)
        page.begin("Ann")
        for number in range(4):
            assert page.script("document.documentElement.scrollWidth") <= width
            assert page.script("document.documentElement.scrollHeight") <= height
            boxes = page.script(
                "[...document.querySelectorAll('#left, #right, footer button')].map((each) => "
                "{ const box = each.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })"
            )
            for x, y, wide, high in boxes:
                assert x >= 0 and y >= 0 and x + wide <= width + 0.5 and y + high <= height + 0.5
                assert wide >= 40 and high >= 40  # wide enough for a thumb
            assert min(boxes[0][3], boxes[1][3]) >= height / 4
            if page.script("document.getElementById('prompt').scrollHeight > 200"):
                page.press(Keys.PAGE_DOWN)
                assert page.script("document.getElementById('prompt').scrollTop") > 20
            left = page.text("choices").split()[0]
            assert left == ("Upper" if width < 500 else "Left")
            driver.find_element("css selector", "[data-choice=tie]").click()
            page.ready(number + 1)


def test_zoom_shows_both_pictures_at_one_place(folders: list[Path], tmp_path: Path) -> None:
    with chromium() as driver, collecting(tmp_path, *folders) as (address, _):
        page = Page(driver, address)
        page.begin("Ann")
        before = page.script("document.getElementById('left').getBoundingClientRect().width")
        page.press("z")
        assert page.script("document.getElementById('left').getBoundingClientRect().width") > 2 * before
        page.press("d", "d", "s")
        origins = page.script(
            "['left', 'right'].map((id) => document.getElementById(id).style.transformOrigin)"
        )
        assert origins == ["70% 60% 0px", "70% 60% 0px"] or origins == ["70% 60%", "70% 60%"]
        page.press("z")
        assert page.script("document.getElementById('left').getBoundingClientRect().width") == before
        assert read_votes(tmp_path / "votes") == []


def test_trouble_is_said_on_the_page(folders: list[Path], tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    with chromium() as driver, collecting(tmp_path, *folders) as (address, process):
        page = Page(driver, address)
        page.begin("Ann")
        page.press(Keys.ARROW_LEFT)
        page.ready(1)
        upcoming = page.script("pair.id")
        for file in folders[1].glob("*.png"):
            file.unlink()
        page.press(Keys.ARROW_LEFT)  # was seen, and counts
        page.ready(2)
        assert page.script("pair") is None and "2 left out" in page.text("who")
        assert {vote.pair for vote in read_votes(tmp_path / "votes")} > {upcoming}
        page.press("u")
        page.ready(1)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        page.press(Keys.ARROW_LEFT)
        page.until(lambda: "does not answer" in page.text("trouble"))
        assert len(read_votes(tmp_path / "votes")) == 1


def test_a_name_that_cannot_be_taken_is_asked_again(folders: list[Path], tmp_path: Path) -> None:
    with chromium() as driver, collecting(tmp_path, *folders) as (address, _):
        page = Page(driver, f"{address}?voter={50 * 'a'}")
        page.until(lambda: "50 characters" in page.text("trouble"))
        driver.find_element("id", "voter").send_keys("Ann\n")
        page.ready(0)
        assert page.text("trouble") == "" and page.text("who") == "Ann"


def test_a_wrong_token_is_said(folders: list[Path], tmp_path: Path) -> None:
    with chromium() as driver, collecting(tmp_path, *folders) as (address, _):
        page = Page(driver, address[:-3] + "xx/")
        page.until(lambda: "address is not whole" in driver.page_source)
