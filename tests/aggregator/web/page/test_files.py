"""The page's files: what is served, how it is kept, and that nothing comes from elsewhere."""

import re

import pytest

from remora_aggregator.web.page.serving import CONTENT_SECURITY_POLICY, page_files

FILES = page_files()
TEXTS = {name: file.body.decode() for name, file in FILES.items()}
SCRIPTS = sorted(name for name in FILES if name.endswith(".js"))


async def test_the_page_is_served_with_a_policy_that_takes_nothing_from_elsewhere(api):
    answer = await api.get("/")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


async def test_every_file_is_served_as_what_it_is(api):
    for name in FILES:
        if name == "index.html":
            continue
        answer = await api.get(f"/page/{name}")
        assert answer.body == FILES[name].body
        assert answer.headers["Content-Type"].startswith(FILES[name].content_type)
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


async def test_what_the_browser_has_is_not_sent_again(api):
    first = await api.get("/page/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    again = await api.get("/page/main.js", headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert (await api.get("/page/main.js", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.js", "/page/../serving.py", "/page/%2e%2e/serving.py"]
)
async def test_nothing_else_is_served(api, path):
    assert (await api.get(path)).status == 404


async def test_the_page_is_shown_to_strangers_and_its_figures_are_not(open_api, token_file):
    async with open_api(token_file=token_file) as api:
        assert (await api.get("/")).status == 200
        assert (await api.get("/page/main.js")).status == 200
        assert (await api.get("/v1/health")).status == 401


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}],
)
async def test_the_page_is_not_shown_under_another_name_or_within_another_page(api, headers):
    assert (await api.get("/", headers=headers)).status in (403, 421)


def test_there_is_no_script_or_style_within_the_page():
    html = TEXTS["index.html"]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=", html)
    for attributes, inside in re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL):
        assert "src=" in attributes
        assert inside == ""


def test_nothing_is_taken_from_elsewhere():
    for name, text in TEXTS.items():
        elsewhere = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+", text))
        assert elsewhere <= {"http://www.w3.org"}, name  # the name of SVG, which nobody asks


def test_what_files_name_is_there():
    named = set(re.findall(r'"/page/([^"]+)"', TEXTS["index.html"]))
    for name in SCRIPTS:
        named |= set(re.findall(r'from "\./([^"]+)"', TEXTS[name]))
    assert named | {"index.html"} == set(FILES)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_markup_or_code_of_text(name):
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        'setTimeout("',
        "DOMParser",
    ):
        assert word not in TEXTS[name]


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_is_long(name):
    assert len(TEXTS[name].splitlines()) <= 250
