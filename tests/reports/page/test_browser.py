"""The page in a real browser, opened from the disk. The tests write screenshots to ``build/screenshots``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.reports.page.chromium import INSTALL_SECONDS, REMEDY, chromium
from tests.reports.records import record
from tests.reports.studied import DATA, study
from tests.tree import ROOT
from transferkit.protocols.gallery import EncoderGallery, Gallery, Tile
from transferkit.reports.page.writing import write_page
from transferkit.reports.result_table import result_table

playwright = pytest.importorskip("playwright.sync_api")

ODD = "<script>alert(1)</script>"
SCREENSHOTS = ROOT / "build" / "screenshots"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * INSTALL_SECONDS)]


def gallery() -> Gallery:
    rng = np.random.default_rng(0)
    tiles = tuple(
        Tile("test", f"{i}.png", i % 3, rng.integers(255, size=(56, 56, 3), dtype=np.uint8)) for i in range(30)
    )
    near = tuple(tuple(range(6, 12)) for _ in range(6))
    maps = {name: rng.normal(size=(30, 2)) for name in ("PCA", "t-SNE")}
    return Gallery(
        "mini/digits",
        (ODD, "two", "three"),
        tiles,
        (EncoderGallery("good", "last", tuple(range(6)), near, tuple(range(30)), maps),),
    )


@pytest.fixture(scope="module")
def page_path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    odd = [record(ODD, data, 0.2, layer="layer10") for data in DATA]
    found = result_table([*study(), *odd], left_out=[f"{ODD} is broken."])
    write_page(found, path, galleries=[gallery()])
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as running:
        program = chromium(Path(running.chromium.executable_path))
        if program is None:
            pytest.skip(f"The page was not tested: Chromium is missing and could not be installed. {REMEDY}")
        # without its sandbox, so that it also starts where there is no user namespace
        launched = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


class Visit:
    """An open page, and all of its errors, warnings and requests."""

    def __init__(self, browser, path: Path, **settings) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.faults.append(m.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.faults.append("a dialog opened"), dialog.dismiss()))
        self.page.on("request", lambda r: r.url.startswith("data:") or self.requests.append(r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")

    def draw_everything(self) -> None:
        """Draw all charts as before printing, then return to the screen."""
        self.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        undrawn = "document.querySelectorAll(':is([data-chart], [data-gallery]):not([data-drawn])').length"
        self.page.wait_for_function(f"{undrawn} === 0")
        self.page.evaluate("window.dispatchEvent(new Event('afterprint'))")

    def rows(self) -> list[str]:
        return self.page.locator("#table tbody tr:visible th").all_inner_texts()


@pytest.fixture
def visit(browser, page_path) -> Iterator:
    visits = []

    def opened(**settings) -> Visit:
        visits.append(Visit(browser, page_path, **settings))
        return visits[-1]

    yield opened
    for one in visits:
        one.context.close()


def test_it_opens_from_the_disk_without_an_error_or_a_request(visit, page_path):
    seen = visit()
    seen.draw_everything()
    assert seen.faults == []
    assert seen.requests == [page_path.as_uri()]
    assert seen.page.locator(".plot .main-svg").count() >= 12
    seen.page.screenshot(path=SCREENSHOTS / "light.png", full_page=True)


def test_filters_change_the_rows(visit):
    seen = visit()
    assert seen.rows() == ["good", "fair", "poor", ODD]
    assert seen.page.locator("#shown").inner_text() == "4 of 19 rows"
    seen.page.select_option("#by-recipe", "finetune")
    assert seen.rows() == ["good", "fair", "poor"]
    seen.page.fill("#by-model", "OO")
    assert seen.rows() == ["good", "poor"]
    columns = seen.page.locator("#table thead tr:last-child th:visible")
    assert columns.count() == 7
    seen.page.select_option("#by-domain", "medical")
    assert columns.count() == 4


def test_a_second_click_reverses_the_order(visit):
    seen = visit()
    mean = seen.page.locator("#table thead button", has_text="mean")
    mean.click()
    descending = seen.rows()
    assert descending[0] == "good"
    mean.click()
    assert seen.rows() == descending[::-1]
    assert seen.page.locator("#table th[aria-sort=ascending]").inner_text().startswith("mean")
    seen.page.locator("#table thead button", has_text="model").click()
    assert seen.rows() == sorted(seen.rows(), key=str.lower)


def test_a_number_shows_its_provenance_by_keyboard_too(visit):
    seen = visit()
    number = seen.page.locator("#table tbody tr:visible button").first
    value = float(number.inner_text().split("±")[0])
    number.focus()
    seen.page.keyboard.press("Enter")
    told = seen.page.locator("dialog#provenance")
    assert told.is_visible()
    text = told.inner_text()
    for words in (
        "selected on",
        "val",
        "evaluated on",
        "test",
        "seconds",
        "fit 0.25 s",
        "mini/leaves",
        "layer10",
    ):
        assert words in text, words
    assert f"{value:.3f}"[:4] in text
    seen.page.keyboard.press("Escape")
    assert not told.is_visible()
    assert number.evaluate("node => node === document.activeElement")


def test_names_stay_text(visit):
    seen = visit()
    seen.draw_everything()
    assert seen.faults == []
    assert seen.page.locator("#table th", has_text=ODD).count() >= 1
    assert ODD in seen.page.locator("figcaption").first.inner_text()
    assert seen.page.locator(".plot text", has_text=ODD).count() >= 1
    assert seen.page.locator("script").count() == 3


def test_charts_have_panels(visit):
    seen = visit()
    chart = seen.page.locator("[data-chart=depth]")
    chart.scroll_into_view_if_needed()
    seen.page.wait_for_selector("[data-chart=depth][data-drawn]")
    before = chart.locator(".trace").first.inner_html()
    chart.locator("select").select_option(label="linear · mini/digits")
    seen.page.wait_for_function(
        "before => document.querySelector('[data-chart=depth] .trace').innerHTML !== before", arg=before
    )


def test_the_map_shows_a_thumbnail(visit):
    seen = visit()
    seen.draw_everything()
    figure = seen.page.locator("[data-gallery]")
    figure.scroll_into_view_if_needed()
    figure.locator(".points path").first.hover(force=True)
    seen.page.wait_for_selector("#hover:visible")
    assert seen.page.locator("#hover img").get_attribute("src").startswith("data:image/jpeg;base64,")


def brightness(seen: Visit) -> float:
    colour = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return float(np.mean([int(part) for part in colour.strip("rgb()").split(",")[:3]]))


def test_the_theme_follows_the_system_or_the_button(visit):
    dark, light = visit(color_scheme="dark"), visit(color_scheme="light")
    assert brightness(dark) < 60 < 200 < brightness(light)
    light.page.click("#theme")
    assert brightness(light) < 60
    dark.page.click("#theme")
    assert brightness(dark) > 200
    light.draw_everything()
    text = light.page.locator(".plot .xtick text").first.evaluate("node => getComputedStyle(node).fill")
    assert "232" in text, "charts take the colours of the page"
    light.page.screenshot(path=SCREENSHOTS / "dark.png", full_page=True)


@pytest.mark.parametrize("width", [320, 390])
def test_the_page_fits_the_width_of_a_phone(visit, width):
    seen = visit(viewport={"width": width, "height": 844})
    seen.draw_everything()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.page.locator("#table tbody tr:visible button").first.click()
    box = seen.page.locator("dialog#provenance").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    seen.page.keyboard.press("Escape")
    seen.page.screenshot(path=SCREENSHOTS / f"phone-{width}.png", full_page=True)


def test_it_prints_light_and_without_controls(visit):
    seen = visit(color_scheme="dark")
    seen.draw_everything()
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    seen.page.emulate_media(media="print", color_scheme="dark")
    assert brightness(seen) > 200
    assert not seen.page.locator("nav").is_visible()
    assert not seen.page.locator("#filters").is_visible()
    ink = seen.page.locator(".plot .xtick text").first.evaluate("node => getComputedStyle(node).fill")
    assert max(int(part) for part in ink.strip("rgb()").split(",")) < 60, "text on paper is dark"
    seen.page.pdf(path=SCREENSHOTS / "print.pdf")
    assert (SCREENSHOTS / "print.pdf").read_bytes()[:4] == b"%PDF"
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    seen.page.emulate_media(media="screen", color_scheme="dark")
    assert brightness(seen) < 60
