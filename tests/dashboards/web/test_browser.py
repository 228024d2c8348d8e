"""The pages in a real browser, on a real store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from access_people import People
from capability_record import capability_of
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from dashboards.documents.front import front_document
from dashboards.documents.trials import trials_document
from dashboards.server import background
from dashboards.web.picture import save_html
from dashboards.web.rendering import ECHARTS
from hwprofiles import find_device
from search.controller.controller import Controller
from search.permissions import Scope
from search.store import Store

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,1000",
)
HOSTILE = "<script>alert(1)</script>"
X_AXIS = "return echarts.getInstanceByDom(document.querySelector('[data-canvas]')).getOption().xAxis[0]"
SCATTERS = ("front", "contenders", "others", "infeasible", "baseline")

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs chromium and chromedriver")


class Browser:
    """A page as a person meets it."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], Any], seconds: float = 15.0) -> None:
        leaving = [StaleElementReferenceException, NoSuchElementException]  # the page is just being replaced
        WebDriverWait(self.driver, seconds, 0.1, leaving).until(lambda _: condition())

    def points(self) -> dict[str, int]:
        """How many points the chart holds, by kind; empty before there is a chart."""
        script = """
            const canvas = document.querySelector("[data-canvas]");
            const chart = window.echarts && canvas && echarts.getInstanceByDom(canvas);
            const series = (chart && chart.getOption() && chart.getOption().series) || [];
            return Object.fromEntries(series.map((one) => [one.id, one.data.length]));
        """
        found: dict[str, int] = self.run(script)
        return {kind: count for kind, count in found.items() if kind in SCATTERS}

    def painted(self) -> int:
        """The number of different colours on the chart's canvas."""
        script = """
            const canvas = document.querySelector("[data-canvas] canvas");
            const { width, height } = canvas;
            const copy = Object.assign(document.createElement("canvas"), { width, height });
            const context = copy.getContext("2d", { willReadFrequently: true });
            context.drawImage(canvas, 0, 0);
            const pixels = context.getImageData(0, 0, width, height).data;
            const colours = new Set();
            for (let i = 0; i < pixels.length; i += 4) {
              if (pixels[i + 3] > 0) colours.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
            }
            return colours.size;
        """
        return int(self.run(script))

    def over(self, kind: str) -> ActionChains:
        """The pointer's way to the first point of a kind."""
        script = """
            const canvas = document.querySelector("[data-canvas]");
            canvas.scrollIntoView({ block: "center" });
            const chart = echarts.getInstanceByDom(canvas);
            const series = chart.getOption().series.find((one) => one.id === arguments[0]);
            const [x, y] = chart.convertToPixel({ xAxisIndex: 0, yAxisIndex: 0 }, series.data[0].value);
            return [x - canvas.clientWidth / 2, y - canvas.clientHeight / 2];
        """
        x, y = self.run(script, kind)
        chart = self.one("[data-canvas]")
        return ActionChains(self.driver).move_to_element_with_offset(chart, round(x), round(y))

    def rows(self) -> int:
        """The rows of the tables that belong to points, the baseline's with them."""
        return len(self.all("#front-table tbody tr, #similar-table tbody tr, #others-table tbody tr"))

    def prefer(self, **features: str) -> None:
        """Set media features, as ``prefer(color_scheme="dark")``."""
        named = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    def complaints(self) -> list[str]:
        """What the console got since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named here, so that selenium looks for none to download.
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[Browser]:
    """Fails the test whose pages put anything on the console, such as a violation of the policy."""
    assert ECHARTS.is_file(), "fetch the chart library: python scripts/fetch_frontend.py"
    found = Browser(chromium)
    found.prefer(color_scheme="light")
    yield found
    complaints = found.complaints()
    chromium.get("about:blank")
    assert complaints == []


def test_from_the_list_to_a_chart_with_the_same_points_as_its_tables(
    browser: Browser, address: str, search: Any
) -> None:
    browser.open(address)
    assert len(browser.all("tbody tr")) == 1
    browser.one("tbody a").click()
    browser.until(lambda: browser.points() != {})
    assert browser.one("h1").text == "digits-here"
    assert browser.points() == {"front": 2, "contenders": 1, "others": 8, "infeasible": 0, "baseline": 1}
    assert browser.rows() == sum(browser.points().values())
    assert browser.painted() > 20
    assert "11 candidates, 2 of them on the front" in str(browser.one("[data-canvas]").get_attribute("aria-label"))


def test_a_running_job_is_followed_without_reloading(browser: Browser, address: str, search: Any) -> None:
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points().get("front") == 2)
    browser.run("window.untouched = true; document.querySelector('#front-table details').open = true")
    search.add(5)
    browser.until(lambda: browser.points()["others"] == 13)
    browser.until(lambda: browser.rows() == 17)
    search.store_front([0, 2, 4, 8], final=True)
    browser.until(lambda: browser.points()["front"] == 3)
    browser.until(lambda: len(browser.all("#front-table tbody tr")) == 4)
    assert "18 of 60" in browser.one("#status .figures").text
    assert browser.one("#status progress")
    search.end()
    browser.until(lambda: browser.one("#status").get_attribute("data-state") == "done")
    browser.until(lambda: "done: 18 of 60" in str(browser.one("#announcement").get_attribute("textContent")))
    assert not browser.all("#status progress")
    assert (
        browser.run("return window.untouched && document.querySelector('#front-table details[open]') !== null") is True
    )
    assert browser.rows() == sum(browser.points().values())


def test_a_job_that_starts_empty_fills_up(browser: Browser, address: str, make_search: Callable[..., Any]) -> None:
    search = make_search()
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points().get("baseline") == 1)
    search.add(3)
    search.store_front([0, 1])
    search.fail()
    browser.until(
        lambda: browser.points() == {"front": 1, "contenders": 0, "others": 1, "infeasible": 0, "baseline": 1}
    )
    browser.until(lambda: len(browser.all("#failed-table tbody tr")) == 1)


def test_the_list_of_jobs_keeps_itself_current(browser: Browser, address: str, make_search: Callable[..., Any]) -> None:
    browser.open(address)
    assert "paretune run" in browser.one("main").text
    search = make_search("newcomer")
    search.add(1)
    browser.until(lambda: [row.text for row in browser.all("tbody tr") if "newcomer" in row.text] != [])


def test_the_keyboard_reaches_tables_and_decisions(browser: Browser, address: str, search: Any) -> None:
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points() != {})
    visited = []
    for _ in range(40):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        active = browser.driver.switch_to.active_element
        visited.append((active.tag_name, active.get_attribute("class"), active.text))
        if active.tag_name == "summary":
            break
    assert visited[0] == ("a", "skip", "Skip to the content")
    assert any(kind == "scroll" for _, kind, _ in visited)
    details = browser.one("#front-table details")
    assert details.get_attribute("open") is None
    ActionChains(browser.driver).send_keys(Keys.ENTER).perform()
    assert details.get_attribute("open") is not None
    assert "block1.conv1" in details.text
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_names_in_a_tooltip_are_text(browser: Browser, address: str, make_search: Callable[..., Any]) -> None:
    search = make_search()
    search.add(128)
    search.store_front([0, 16])
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points().get("infeasible", 0) > 0)
    browser.one("[data-range]").click()
    browser.over("infeasible").perform()
    browser.until(lambda: browser.all(".tip-body"))
    assert f"{HOSTILE} cosine >= 0.9" in browser.one(".tip-body").text
    assert not browser.all(".tip-body script")


def test_far_off_points_are_shown_on_demand(browser: Browser, address: str, make_search: Callable[..., Any]) -> None:
    search = make_search()
    search.add(128)
    search.store_front([0, 16])
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points() != {})
    button = browser.one("[data-range]")
    near = browser.run(X_AXIS)
    assert button.text.startswith("Show all (")
    button.click()
    browser.until(lambda: browser.run(X_AXIS)["max"] > near["max"])
    assert button.text == "Show the front"
    button.click()
    browser.until(lambda: browser.run(X_AXIS) == near)


def test_a_clicked_point_leads_to_its_row(browser: Browser, address: str, search: Any) -> None:
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points() != {})
    browser.over("contenders").click().perform()
    browser.until(lambda: browser.all(f"#point-{search.ids[9]}.is-marked"))
    assert browser.driver.switch_to.active_element.tag_name == "summary"


def test_a_device_s_heat_map_has_the_figures_of_its_table(browser: Browser, store: Store, address: str) -> None:
    profile = find_device("dry-run")
    store.devices.set_capability(profile, capability_of(profile).to_dict())
    browser.open(f"{address}/devices/dry-run")
    browser.until(lambda: browser.painted() > 20)
    chart = "echarts.getInstanceByDom(document.querySelector('[data-canvas]'))"
    draw_samples = browser.run(f"return {chart}.getOption().series[0].data")
    shown = [cell.text for cell in browser.all("#gains-table td.number") if cell.text not in ("", "no")]
    assert sorted(f"{cell['ratio']:.2f}" for cell in draw_samples) == sorted(shown)
    assert len(shown) == 7
    browser.prefer(color_scheme="dark")
    browser.until(lambda: browser.painted() > 20)


def test_a_learning_curve_grows_with_its_table(browser: Browser, address: str, search: Any) -> None:
    chart = "echarts.getInstanceByDom(document.querySelector('#learning-figure [data-canvas]'))"
    lengths = f"const c = {chart}; return c ? c.getOption().series.map((one) => one.data.length) : []"
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points().get("front") == 2)
    assert not browser.one("#learning-figure").is_displayed()
    for updates in (2, 8):
        search.learn(updates)
        search.add(1)
        browser.until(lambda n=updates: browser.run(lengths) == [n, n // 2, n, n // 2])
        assert len(browser.all("#learning-table tbody tr")) == updates
    assert browser.one("#learning-figure").is_displayed()
    assert "16 rewards" in str(browser.one("#learning-figure [data-canvas]").get_attribute("aria-label"))
    assert browser.points() == {"front": 2, "contenders": 1, "others": 10, "infeasible": 0, "baseline": 1}


def test_a_lost_server_is_told_and_found_again(browser: Browser, store: Store, search: Any) -> None:
    with background(store) as address:
        browser.open(f"{address}/jobs/{search.job_id}")
        browser.until(lambda: browser.points().get("front") == 2)
    browser.until(lambda: browser.one("#connection").text == "The connection is lost; trying again.")
    search.add(1)
    with background(store, port=int(address.rpartition(":")[2])):
        browser.until(lambda: browser.points()["others"] == 9)
        browser.until(lambda: not browser.one("#connection").is_displayed())
        browser.until(lambda: browser.rows() == 13)
        browser.open("about:blank")
    assert all("ERR_CONNECTION_REFUSED" in line or "ERR_INCOMPLETE" in line for line in browser.complaints())


def test_dark_and_light_both_draw_every_point(browser: Browser, address: str, search: Any) -> None:
    browser.open(f"{address}/jobs/{search.job_id}")
    browser.until(lambda: browser.points() != {})
    light = browser.run("return getComputedStyle(document.body).backgroundColor"), browser.points()
    browser.prefer(color_scheme="dark")
    browser.until(lambda: browser.run("return getComputedStyle(document.body).backgroundColor") != light[0])
    browser.until(lambda: browser.points() == light[1])
    assert browser.painted() > 20


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_pages_do_not_scroll_sideways(
    browser: Browser, store: Store, address: str, search: Any, width: int
) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    profile = find_device("dry-run")
    store.devices.set_capability(profile, capability_of(profile).to_dict())
    for path in ("/", f"/jobs/{search.job_id}", f"/candidates/{search.ids[4]}", "/devices/dry-run"):
        browser.open(address + path)
        assert browser.run("return document.documentElement.scrollWidth") <= width
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


CHARTS = """
    const found = {};
    for (const canvas of document.querySelectorAll("[data-titles] [data-canvas]")) {
      const chart = window.echarts && echarts.getInstanceByDom(canvas);
      const series = (chart && chart.getOption() && chart.getOption().series) || [];
      const points = series.filter((one) => arguments[0].includes(one.id)).map((one) => [one.id, one.data.length]);
      found[canvas.closest("figure").id] = Object.fromEntries(points);
    }
    return found;
"""


def test_several_devices_fill_up_side_by_side(browser: Browser, store: Store, address: str, on_two: str) -> None:
    def charts() -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = browser.run(CHARTS, list(SCATTERS))
        return found

    browser.open(f"{address}/jobs/{on_two}")
    browser.until(lambda: browser.one("#status").get_attribute("data-state") == "queued")
    Controller(store, on_two).run()
    browser.until(lambda: browser.one("#status").get_attribute("data-state") == "done")
    browser.until(lambda: all(sum(points.values()) == 24 for points in charts().values()))
    fronts = front_document(store, on_two)
    for number, front in enumerate(fronts["fronts"].values(), 1):
        assert charts()[f"d{number}-front-figure"]["front"] == sum(not member["unchanged"] for member in front["front"])
        rows = ", ".join(f"#d{number}-{table}-table tbody tr" for table in ("front", "similar", "others"))
        browser.until(lambda rows=rows: len(browser.all(rows)) == 24)
    assert len(browser.all("#joint-table tbody tr")) == len(fronts["joint"]["front"])
    assert [link.text for link in browser.all(".places a")] == [*fronts["fronts"], "All together"]


def test_a_point_leads_to_its_row_of_the_same_device(browser: Browser, store: Store, address: str, on_two: str) -> None:
    Controller(store, on_two).run()
    browser.open(f"{address}/jobs/{on_two}")
    browser.until(lambda: browser.points() != {})
    browser.over("front").click().perform()
    browser.until(lambda: browser.all(".is-marked"))
    assert [str(row.get_attribute("id")).startswith("d1-point-") for row in browser.all(".is-marked")] == [True]


def test_a_saved_page_of_several_devices(browser: Browser, store: Store, on_two: str, tmp_path: Path) -> None:
    Controller(store, on_two).run()
    save_html(front_document(store, on_two), trials_document(store, on_two), tmp_path / "front.html")
    browser.open((tmp_path / "front.html").as_uri())
    browser.until(lambda: len(browser.run(CHARTS, list(SCATTERS))) == 2)
    assert [sum(points.values()) for points in browser.run(CHARTS, list(SCATTERS)).values()] == [24, 24]


def test_a_saved_page_opens_from_disk(browser: Browser, store: Store, search: Any, tmp_path: Path) -> None:
    path = tmp_path / "front.html"
    search.end()
    save_html(front_document(store, search.job_id), trials_document(store, search.job_id), path)
    browser.open(path.as_uri())
    browser.until(lambda: browser.points() != {})
    assert browser.points() == {"front": 2, "contenders": 1, "others": 8, "infeasible": 0, "baseline": 1}
    assert browser.painted() > 20
    assert browser.rows() == 12


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_signing_in_and_out(browser: Browser, address: str, search: Any, store: Store, scripts: bool) -> None:
    People(store).add("ada", admin=True)
    token = People(store).token("ada", Scope.READ, Scope.ADMIN)
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    try:
        browser.open(f"{address}/devices")
        assert browser.one("h1").text == "Sign in"
        browser.one("[name=token]").send_keys(token, Keys.ENTER)
        browser.until(lambda: browser.one("h1").text == "Devices")
        assert browser.one(".visitor span").text == "ada"
        browser.open(address)
        browser.one("tbody a").click()
        browser.until(lambda: browser.one("h1").text == "digits-here")
        browser.one(".visitor button").click()
        browser.until(lambda: browser.one("h1").text == "Sign in")
        browser.open(address)
        assert browser.one("h1").text == "Sign in"
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.driver.delete_all_cookies()
