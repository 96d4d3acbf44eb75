"""The demo's page in a browser: a prediction, a broken file, a huge file, a narrow window."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import load
from pipeline.common.params import AugmentParams
from pipeline.demo.replies import EXAMPLES, MAXIMUM_BYTES
from pipeline.demo.server import Server
from tests.demo.test_demo import huge_png
from tests.helpers.browser import Browser, started
from tests.helpers.demos import served
from tests.helpers.pictures import encoded, picture, write

WIDE = 1280
DONE = "!document.querySelector('#result').hidden && document.querySelector('#progress').hidden"
FAULTY = "!document.querySelector('#fault').hidden"
REFUSED = "responded with a status of 422"  # the browser's own note of a bad file
IDLE = "document.querySelectorAll('#examples button').length > 0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with started(folder / "profile") as running:
        yield running


@pytest.fixture(scope="module")
def demo(folder: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with served(folder) as running:
            yield running


@pytest.fixture
def page(browser: Browser, demo: Server) -> Iterator[Browser]:
    """The page, just opened; nothing may go wrong in it, and nothing is requested elsewhere."""
    browser.requested.clear()
    browser.problems.clear()
    browser.open(demo.url, WIDE)
    browser.wait(IDLE)
    yield browser
    assert [problem for problem in browser.problems if REFUSED not in problem] == []
    assert all(url.startswith((demo.url, "data:")) for url in browser.requested)


def text(page: Browser, selector: str) -> str:
    return str(page.run(f"document.querySelector('{selector}').innerText"))


def is_shown(page: Browser, selector: str) -> bool:
    return bool(page.run(f"document.querySelector('{selector}').checkVisibility()"))


def drop(page: Browser, name: str, size: int) -> None:
    """Drop a file of this many bytes, all zero, onto the page."""
    page.run(f"""{{
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([new Uint8Array({size})], "{name}"));
        document.body.dispatchEvent(new DragEvent("drop", {{ dataTransfer, bubbles: true }}));
    }}""")


def test_a_photo_is_classified(page: Browser, folder: Path) -> None:
    assert not is_shown(page, "#result")
    page.choose_file("#file", write(folder / "my photo.png", encoded(1)))
    page.wait(DONE)
    (expected,) = load(folder / "model").predict([picture(1)])
    assert text(page, "#title") == "my photo.png"
    assert text(page, "#label") == expected.label
    for name, share in expected.probabilities.items():
        assert f"{name}\n{share:.1%}".replace("%", " %") in text(page, "#bars")
    assert "from a probability of 40.0 %" in text(page, "#why")
    assert text(page, "#for") == "+25 points or more"
    assert not is_shown(page, "#truth")
    assert not is_shown(page, "#fault")
    page.wait("[...document.images].every((image) => image.naturalWidth > 0)")


def test_the_header_says_what_the_model_was_trained_on(
    page: Browser, folder: Path, browser: Browser
) -> None:
    assert "drawn scenes" in text(page, "#drawn")
    with served(folder / "own", data_source="photos.zip") as demo:
        browser.open(demo.url, WIDE)
        browser.wait(IDLE)
        assert text(browser, "#source") == "Trained on photos.zip."
        assert not is_shown(browser, "#drawn")
        browser.requested.clear()
        browser.open("about:blank", WIDE)


def test_the_map_lies_over_the_photo_and_can_be_hidden(page: Browser, folder: Path) -> None:
    page.choose_file("#file", write(folder / "photo.png", encoded(1)))
    page.wait(DONE)
    page.wait("document.querySelector('#photo').complete")
    box = "JSON.stringify(document.querySelector('{}').getBoundingClientRect())"
    assert page.run(box.format("#map")) == page.run(box.format("#photo"))
    page.run("document.querySelector('#show').click()")
    assert not is_shown(page, "#map")


def test_augmentations_are_shown_and_drawn_again(page: Browser, folder: Path) -> None:
    page.choose_file("#file", write(folder / "photo.png", encoded(1)))
    page.wait(DONE)
    for name in AugmentParams.model_fields:
        assert name.replace("_", " ") in text(page, "#kinds")
    source = "document.querySelectorAll('#kinds img')[{}].src"
    original, drawn = page.run(source.format(0)), page.run(source.format(1))
    page.run("document.querySelector('#again').click()")
    page.wait(f"{source.format(1)} !== '{drawn}'")
    assert page.run(source.format(0)) == original


def test_an_example_reveals_its_class_after_the_prediction(page: Browser) -> None:
    assert page.run("document.querySelectorAll('#examples button').length") == EXAMPLES
    assert "emergency" not in text(page, "#examples")
    page.run("document.querySelectorAll('#examples button')[1].click()")
    page.wait(DONE)
    assert text(page, "#title") == "example 2"
    outcome = "Correct" if text(page, "#label") == "emergency" else "Wrong"
    assert text(page, "#truth") == f"True class: emergency. {outcome}."


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("broken.png", encoded(1)[:200], "broken.png: This file is truncated"),
        ("notes.txt", b"no image", "notes.txt: This file is not an image"),
        ("vast.png", huge_png(), "vast.png: This file has more than 80 megapixels; reduce it."),
    ],
)
def test_a_bad_file_is_one_message_and_the_next_photo_is_classified(
    page: Browser, folder: Path, name: str, data: bytes, message: str
) -> None:
    page.choose_file("#file", write(folder / name, data))
    page.wait(FAULTY)
    assert text(page, "#fault").startswith(message)
    assert len(text(page, "#fault").splitlines()) == 1
    assert not is_shown(page, "#result")
    page.choose_file("#file", write(folder / "photo.png", encoded(1)))
    page.wait(DONE)
    assert not is_shown(page, "#fault")


def test_a_huge_file_is_one_message_and_is_not_sent(page: Browser) -> None:
    drop(page, "huge.jpg", MAXIMUM_BYTES + 1)
    page.wait(FAULTY)
    expected = "huge.jpg: This file has more than 20 MB; reduce the photo."
    assert text(page, "#fault") == expected
    assert not any(url.endswith("/prediction") for url in page.requested)
    drop(page, "zeros.jpg", MAXIMUM_BYTES)
    page.wait("document.querySelector('#fault').innerText.includes('is not an image')")


@pytest.mark.parametrize("width", [WIDE, 400])
def test_nothing_is_wider_than_the_window(
    page: Browser, demo: Server, folder: Path, width: int
) -> None:
    page.open(demo.url, width)
    page.wait(IDLE)
    name = "a" * 120 + ".png"
    page.choose_file("#file", write(folder / name, encoded(1)))
    page.wait(DONE)
    assert page.overflow() == 0
    page.choose_file("#file", write(folder / name, b"no image"))
    page.wait(FAULTY)
    assert page.overflow() == 0


def test_the_page_follows_the_colour_scheme(page: Browser, demo: Server) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.open(demo.url, WIDE, dark=True)
    page.wait(IDLE)
    assert light == "rgb(255, 255, 255)"
    assert page.run(colour) == "rgb(18, 20, 23)"


def test_a_demo_that_has_ended_is_reported(folder: Path, browser: Browser) -> None:
    with served(folder / "short") as demo:
        browser.open(demo.url, WIDE)
        browser.wait(IDLE)
    browser.choose_file("#file", write(folder / "photo.png", encoded(1)))
    browser.wait(FAULTY)
    assert "Is it still running" in text(browser, "#fault")
