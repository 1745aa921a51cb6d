"""The page: self-contained, escaped, readable in light and dark, honest about what is left out."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentperf_core.clock import FakeClock
from agentperf_core.telemetry import (
    Finding,
    LatencyReport,
    Recorder,
    Span,
    SpanKind,
    Trace,
    critical_path,
)
from agentperf_core.telemetry.report._style import _COLOURS, ROOT, page_css, scoped_css
from agentperf_core.telemetry.report.html import render_fragment, render_page
from agentperf_core.telemetry.report.waterfall import MAX_ROWS, choose_rows, ticks, waterfall
from agentperf_core.types import Usage

SVG = "{http://www.w3.org/2000/svg}"
EVIL = "<script>alert('x')</script> & \"quoted\""


def span(id_: str, parent: str | None, start: float, end: float, **fields: Any) -> Span:
    fields = {"kind": SpanKind.AGENT if parent is None else SpanKind.TOOL, "name": id_} | fields
    return Span(
        id=id_, parent_id=parent, start_ns=round(start * 1e9), end_ns=round(end * 1e9), **fields
    )


def run(*spans: Span, **fields: Any) -> Trace:
    return Trace(id=spans[0].id, started_at=0.0, spans=spans, **fields)


def streamed(name: str = "gpt", **fields: Any) -> Trace:
    call = span(
        "llm",
        "root",
        0.5,
        2.0,
        kind=SpanKind.LLM,
        name=name,
        model=name,
        chunk_ns=(500_000_000, 1_000_000_000),
        chunks=2,
        usage=Usage(uncached_input_tokens=900, cached_input_tokens=100, output_tokens=50),
        cost_usd=Decimal("0.002"),
    )
    return run(
        span("root", None, 0, 3, name=name), call, span("tool", "root", 2, 3, name=name), **fields
    )


def wide(children: int) -> Trace:
    """A run with many tools one after the other, each longer than the one before."""
    ends = [0.0]
    for n in range(children):
        ends.append(ends[-1] + (n + 1) / 1000)
    tools = [span(f"t{n}", "root", ends[n], ends[n + 1]) for n in range(children)]
    return run(span("root", None, 0, ends[-1]), *tools)


class Page(HTMLParser):
    """Counts tags, keeps attributes and text; a page is fed to it once."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data):
        self.text.append(data)


def page(*traces: Trace) -> str:
    return render_page(LatencyReport(traces), title="Report")


def drawing(trace: Trace, **options: Any) -> tuple[ET.Element, int]:
    text, hidden = waterfall(trace, label="a run", **options)
    return ET.fromstring(text), hidden


@pytest.fixture(autouse=True)
def no_advice(monkeypatch):
    monkeypatch.setattr("agentperf_core.telemetry.report.html.diagnose", lambda report: [])


def test_the_page_loads_nothing_and_runs_nothing():
    text = page(streamed())
    assert "script" not in Page(text).tags
    assert not {"src", "href", "onload", "onclick"} & {name for name, _ in Page(text).attributes}
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_names_errors_and_titles_are_escaped_everywhere(monkeypatch):
    """A tool named like a script tag is shown as text in the page, the drawing and its tooltip."""
    finding = Finding(
        rule="r", severity="low", evidence=EVIL, advice=EVIL, fix={EVIL: EVIL}, basis=EVIL,
        saving_s=1.0,
    )  # fmt: skip
    monkeypatch.setattr("agentperf_core.telemetry.report.html.diagnose", lambda report: [finding])
    failed = run(span("root", None, 0, 1, name=EVIL, status="error", error=f"E: {EVIL}"))
    report = LatencyReport((failed, streamed(EVIL)))
    for text in (render_page(report, title=EVIL), render_fragment(report)):
        assert "<script" not in text
        assert "script" not in Page(text).tags
        assert EVIL in " ".join(Page(text).text)


@given(st.text(min_size=1))
def test_no_name_can_break_the_markup(name):
    """Whatever a model or tool is called, the drawing parses as XML and the page grows no tag."""
    ET.fromstring(waterfall(streamed(name), label=name)[0])
    plain, named = (
        LatencyReport((streamed("gpt"),)),
        LatencyReport((streamed(name),)),
    )
    assert Page(render_fragment(named)).tags == Page(render_fragment(plain)).tags


def test_every_run_has_a_picture_that_a_screen_reader_can_name():
    text = page(streamed("support"))
    labels = [value for name, value in Page(text).attributes if name == "aria-label"]
    assert "Waterfall of run 1: support, 3.00 s, 1 step, 3 spans" in labels
    assert any(label and label.startswith("llm 50 %") for label in labels)
    assert text.count('role="img"') == 2


def test_the_drawing_scales_with_the_page():
    element, _ = drawing(streamed())
    assert element.get("viewBox", "").startswith("0 0 900 ")
    assert "width" not in element.attrib
    assert re.search(r"svg \{[^}]*width: 100%", scoped_css())


def test_a_bar_per_span_in_the_order_of_the_tree_and_in_proportion_to_time():
    element, hidden = drawing(streamed())
    bars = [r for r in element.iter(f"{SVG}rect") if (r.get("class") or "").startswith("k-")]
    assert [bar.get("class") for bar in bars] == ["k-agent", "k-llm", "k-tool"]
    widths = [float(bar.get("width", "")) for bar in bars]
    assert widths[1] / widths[0] == pytest.approx(0.5, abs=0.01)
    assert widths[2] / widths[0] == pytest.approx(1 / 3, abs=0.01)
    assert hidden == 0


def test_the_critical_path_is_underlined_over_its_whole_length():
    element, _ = drawing(streamed())
    marked = [r for r in element.iter(f"{SVG}rect") if r.get("class") == "critical"]
    root = next(r for r in element.iter(f"{SVG}rect") if r.get("class") == "k-agent")
    assert len(marked) == len(critical_path(streamed()))
    total = sum(float(r.get("width", "")) for r in marked)
    assert total == pytest.approx(float(root.get("width", "")), abs=1)


def test_the_first_token_is_a_tick_inside_the_bar():
    element, _ = drawing(streamed())
    ticked = next(r for r in element.iter(f"{SVG}rect") if r.get("class") == "tick")
    bar = next(r for r in element.iter(f"{SVG}rect") if r.get("class") == "k-llm")
    left, width = float(bar.get("x", "")), float(bar.get("width", ""))
    assert float(ticked.get("x", "")) + 1.5 == pytest.approx(left + width / 3, abs=0.2)


def test_a_failed_span_is_marked_by_more_than_colour():
    failed = run(span("root", None, 0, 1, status="error", error="TimeoutError: no answer"))
    element, _ = drawing(failed)
    assert any(r.get("class") == "fault" for r in element.iter(f"{SVG}rect"))
    texts = [t.text or "" for t in element.iter(f"{SVG}text")]
    assert "\N{MULTIPLICATION X} 1.00 s" in texts
    assert "TimeoutError: no answer" in (next(element.iter(f"{SVG}title")).text or "")


def test_the_tooltip_of_a_model_call_holds_its_figures():
    element, _ = drawing(streamed())
    told = [title.text or "" for title in element.iter(f"{SVG}title")]
    assert told[1].splitlines() == [
        "gpt (llm)",
        "1.50 s, starts at 500 ms",
        "on the critical path for 1.50 s",
        "first token after 500 ms, 2 chunks",
        "1,000 tokens in (100 cached), 50 out",
        "$0.0020",
    ]


def test_long_names_end_in_dots_before_they_meet_the_next_column():
    element, _ = drawing(run(span("root", None, 0, 1, name="n" * 300)))
    label = next(t for t in element.iter(f"{SVG}text") if (t.text or "").startswith("nn"))
    assert (label.text or "").endswith("\N{HORIZONTAL ELLIPSIS}")
    assert len(label.text or "") < 40


def test_a_run_of_zero_length_is_drawn():
    element, _ = drawing(run(span("root", None, 1, 1), span("tool", "root", 1, 1)))
    assert all(float(r.get("width", "1")) > 0 for r in element.iter(f"{SVG}rect"))
    assert "0 s" in page(run(span("root", None, 1, 1)))


def test_a_report_without_runs_is_a_page_that_says_so():
    assert "No runs recorded" in page()
    assert "No runs recorded" in render_fragment(LatencyReport(()))


def test_the_page_says_which_runs_are_left_out():
    runs = [run(span("root", None, 0, n + 1, name=f"run-{n}")) for n in range(14)]
    text = page(*runs)
    assert "The 12 slowest of 14 runs are drawn, the slowest first; 2 runs left out." in text
    assert "<b>Run 14: run-13</b>" in text
    assert "run-1<" not in text
    assert text.count("<details open>") == 3
    assert text.count("<details>") == 9


def test_the_page_says_how_many_spans_of_a_run_are_left_out():
    text = page(wide(MAX_ROWS + 40))
    assert "60 rows are drawn; the 41 shortest spans left out." in text
    assert text.count('class="hover"') == MAX_ROWS


def test_the_page_says_what_the_recorder_dropped():
    text = page(run(span("root", None, 0, 1), dropped=5))
    assert "5 spans did not fit the recorder's bound." in text
    assert "left out" not in text


@st.composite
def trees(draw) -> Trace:
    """Runs of any shape; children may start late, end late and take no time."""
    spans = [span("0", None, 0, draw(st.floats(0, 10)))]
    for n in range(1, draw(st.integers(0, 30)) + 1):
        start = draw(st.floats(spans[-1].start_ns / 1e9, 10))
        parent = draw(st.sampled_from(spans)).id
        spans.append(span(str(n), parent, start, start + draw(st.floats(0, 5))))
    return run(*spans)


@given(trees(), st.integers(1, 40))
def test_chosen_rows_are_a_tree_with_its_root_within_the_limit(trace, limit):
    rows = choose_rows(trace, limit)
    chosen = [row.span.id for row in rows]
    assert chosen[0] == trace.root.id
    assert len(chosen) == len(set(chosen)) <= max(limit, 1)
    seen: set[str] = set()
    for row in rows:
        assert row.span.parent_id is None or row.span.parent_id in seen
        seen.add(row.span.id)
    if limit >= len(trace.spans):
        assert len(chosen) == len(trace.spans)


@given(trees())
def test_every_tree_is_drawn_inside_its_picture(trace):
    element, _ = drawing(trace)
    for rect in element.iter(f"{SVG}rect"):
        left, width = float(rect.get("x", "")), float(rect.get("width", ""))
        assert left >= 0
        assert left + width <= 900


@given(st.floats(1e-6, 1e6))
def test_ticks_are_few_even_and_inside_the_run(length):
    found = ticks(length)
    assert 2 <= len(found) <= 11
    assert found[0] == 0
    assert found[-1] <= length * 1.001
    assert found[1] * len(found) >= length * 0.999


def test_styles_of_a_notebook_cell_reach_nothing_outside_it():
    """Every selector names the report's own root, also inside media and support queries."""
    css = scoped_css()
    selectors = [s.strip() for s in re.findall(r"(?:^|[{}])([^{}@]+)\{", css)]
    assert len(selectors) > 50
    for selector in selectors:
        assert all(f".{ROOT}" in part for part in selector.split(",")), selector
    assert css.count("{") == css.count("}")
    assert page_css().count("{") == page_css().count("}")


def test_the_notebook_cell_is_one_element_without_a_document():
    text = LatencyReport((streamed(),))._repr_html_()
    assert text.startswith(f'<div class="{ROOT}">')
    assert text.endswith("</div>")
    assert not {"html", "head", "body", "title"} & (set(Page(text).tags) - {"title"})


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["text", "muted", "bad", "critical"])
@pytest.mark.parametrize("ground", ["bg", "panel"])
def test_text_has_the_contrast_that_wcag_asks_for(theme, text, ground):
    """WCAG 2.2, criterion 1.4.3: at least 4.5 to 1."""
    assert _contrast(_COLOURS[text][theme], _COLOURS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_kinds_with_the_most_time_differ_in_lightness_too(theme):
    """Model, tool and cache bars stay apart without any colour."""
    kinds = [_COLOURS[f"k-{kind}"][theme] for kind in ("llm", "tool", "cache")]
    assert _contrast(kinds[0], kinds[1]) > 1.4
    assert _contrast(kinds[0], kinds[2]) > 1.4


def test_the_page_follows_the_system_and_an_explicit_colour_scheme():
    text = page(streamed())
    assert ":root{color-scheme:light dark}" in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert "light-dark(" in text
    assert 'body[data-jp-theme-light="false"]' in render_fragment(LatencyReport((streamed(),)))


def test_errors_are_listed_with_their_run_and_the_rest_is_counted():
    spans = [span(f"t{n}", "root", 0, 1, status="error", error="E: boom") for n in range(25)]
    text = page(run(span("root", None, 0, 1), *spans))
    assert text.count('<span class="bad">E: boom</span>') == 20
    assert "5 more left out" in text


def test_save_html_writes_the_page_of_a_recorded_run(tmp_path):
    clock = FakeClock()
    recorder = Recorder(clock=clock, pricer=lambda *_: None)
    with recorder.span("agent", "support"):
        clock.advance(1.0)
    path = recorder.report().save_html(tmp_path / "report.html", title="Nightly")
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<title>Nightly</title>" in text
    assert "1.00 s" in text


def served_at(at, cache, usage=None):
    return span(f"hit-{at}", "root", at, at + 0.1, kind=SpanKind.CACHE, cache=cache, usage=usage)


def test_results_of_tools_have_a_row_and_a_rate_of_their_own():
    """They stood as "unknown" and were counted as if each had saved a model call."""
    hits = [
        served_at(1, {"outcome": "hit", "tier": "exact", "of": "llm"}),
        served_at(2, {"outcome": "hit", "tool": "get_order", "of": "tool"}),
    ]
    made = [
        span("llm-1", "root", 3, 4, kind=SpanKind.LLM),
        span("tool-1", "root", 4, 5, kind=SpanKind.TOOL),
        span("tool-2", "root", 5, 6, kind=SpanKind.TOOL),
    ]
    html = page(run(span("root", None, 0, 9, kind=SpanKind.AGENT), *hits, *made))
    panel = html.partition("Answers from the cache")[2].partition("<h2>")[0]
    assert "tool result</t" in panel
    assert "unknown" not in panel
    assert "Hit rate 50 %: 1 answer served, 1 model call made; 33 %: 1 tool result" in panel


def test_the_panel_of_the_cache_has_a_row_per_tier():
    """Who runs several tiers sees which of them earns its keep."""
    served = [
        {"outcome": "hit", "tier": "exact", "saved_s": 2.0, "age_s": 30.0},
        {"outcome": "coalesced", "tier": "exact", "saved_s": 1.0},
        {"outcome": "hit", "tier": "semantic", "stale": True, "saved_s": 4.0, "age_s": 60.0},
    ]
    hits = [served_at(n, cache, Usage(output_tokens=5)) for n, cache in enumerate(served)]
    html = page(run(span("root", None, 0, 9, kind=SpanKind.AGENT), *hits))
    panel = html.partition("Answers from the cache")[2].partition("<h2>")[0]
    cells = re.findall(r"<t[dh](?: scope=\"row\")?>([^<]*)</t", panel)
    assert cells == [
        "exact", "2", "1", "0", "3.00 s", "10", "30.0 s",
        "semantic", "1", "0", "1", "4.00 s", "5", "1 min 00 s",
    ]  # fmt: skip
    assert "Hit rate 100 %" in panel


def test_without_a_hit_there_is_no_panel_of_the_cache():
    assert "Answers from the cache" not in page(run(span("root", None, 0, 1)))
