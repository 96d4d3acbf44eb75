"""The report page in a browser: self-contained, and readable in any window and colour scheme."""

from collections.abc import Iterator

import pytest

from pipeline.common.drawing import encode_png
from pipeline.report.stage import render
from tests.helpers.browser import Browser, started
from tests.helpers.pages import PICTURES, content
from tests.helpers.pictures import picture
from tests.helpers.techniques import compared

WIDE, NARROW = 1280, 400
NAMES = ["baseline", "dropout"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    made_up = content(*compared(folder, NAMES, images=40))
    pictures = {**made_up["pictures"], **dict.fromkeys(PICTURES, encode_png(picture(1, side=900)))}
    page = folder / "index.html"
    html = render("report.html.j2", dict(made_up, pictures=pictures))
    page.write_text(html, encoding="utf-8")
    return page.as_uri()


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_it_needs_nothing_else_and_fits_its_window(browser: Browser, url: str, width: int) -> None:
    browser.requested.clear()
    browser.open(url, width)
    assert all(address.startswith((url, "data:")) for address in browser.requested)
    assert browser.problems == []
    assert browser.overflow() == 0
    assert browser.run("[...document.images].every((image) => image.naturalWidth > 0)")


def test_what_is_too_wide_shows_that_it_scrolls(browser: Browser, url: str) -> None:
    shown = "document.querySelector('#results').parentElement.querySelector('.scroll').className"
    browser.open(url, NARROW)
    browser.wait(f"{shown} === 'scroll more-right'")
    browser.run("document.querySelector('#results ~ .scroll > div').scrollLeft = 9999")
    browser.wait(f"{shown} === 'scroll more-left'")
    browser.open(url, WIDE)
    browser.wait(f"{shown} === 'scroll'")


@pytest.mark.parametrize(("width", "section"), [(WIDE, "#errors"), (NARROW, "#results")])
def test_the_contents_stay_in_view_and_follow(
    browser: Browser, url: str, width: int, section: str
) -> None:
    browser.open(url, width)
    browser.run("document.querySelector('#errors').scrollIntoView()")
    current = "document.querySelector('nav [aria-current]')"
    browser.wait(f"{current}?.hash === '{section}'")
    top, height = "document.querySelector('nav').getBoundingClientRect().top", "innerHeight"
    assert browser.run(f"0 <= {top} && {top} < {height}")


def test_it_follows_the_colour_scheme(browser: Browser, url: str) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    browser.open(url, WIDE)
    assert browser.run(colour) == "rgb(255, 255, 255)"
    browser.open(url, WIDE, dark=True)
    assert browser.run(colour) == "rgb(18, 18, 18)"


def test_headers_of_tables_have_a_scope(browser: Browser, url: str) -> None:
    browser.open(url, WIDE)
    assert browser.run("document.querySelectorAll('th').length") > 20
    assert browser.run("document.querySelectorAll('th:not([scope])').length") == 0


def test_what_few_read_opens_by_a_link_and_for_the_printer(browser: Browser, url: str) -> None:
    opened = "[...document.querySelectorAll('details')].filter((one) => one.open).length"
    browser.open("about:blank", WIDE)
    browser.open(f"{url}#technique-dropout", WIDE)
    assert browser.run(opened) == 1
    assert browser.run("document.querySelector('#technique-dropout').closest('details').open")
    browser.run("location.hash = 'parameters'")
    browser.wait(f"{opened} === 2")
    browser.command("Page.printToPDF")
    assert browser.run(f"{opened} === document.querySelectorAll('details').length")
