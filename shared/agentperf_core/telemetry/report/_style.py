"""Colours and CSS of the page; every rule is scoped, so that a notebook keeps its own look.

The colours are Okabe and Ito's set ("Color Universal Design", 2008), which stays apart under the
common colour blindnesses, with two additions and lighter variants for dark backgrounds; neighbours
in the report differ in lightness too, and no fact is told by colour alone.
"""

from __future__ import annotations

from agentperf_core.telemetry.spans import SpanKind

__all__ = ["ROOT", "page_css", "scoped_css"]

ROOT = "agentperf-report"

_KINDS: dict[SpanKind, tuple[str, str]] = {
    SpanKind.AGENT: ("#5d6875", "#8d99a8"),
    SpanKind.CHAIN: ("#9aa5b1", "#66717e"),
    SpanKind.LLM: ("#0072b2", "#3d9be0"),
    SpanKind.TOOL: ("#e69f00", "#f0b429"),
    SpanKind.RETRIEVER: ("#009e73", "#1fbf91"),
    SpanKind.EMBEDDING: ("#cc79a7", "#dd95bd"),
    SpanKind.CACHE: ("#56b4e9", "#8fd3ff"),
    SpanKind.ROUTER: ("#6a4fa3", "#a58be0"),
    SpanKind.MEMORY: ("#8c5a2b", "#c9905c"),
    SpanKind.RETRY: ("#d55e00", "#ff8a3d"),
    SpanKind.WAIT: ("#c3cad2", "#4b5561"),
}

_COLOURS: dict[str, tuple[str, str]] = {
    "bg": ("#ffffff", "#14181d"),
    "panel": ("#f5f7f9", "#1c2228"),
    "line": ("#d9dfe5", "#333c46"),
    "text": ("#16202b", "#e8edf2"),
    "muted": ("#55616e", "#a3afbb"),
    "critical": ("#16202b", "#ffffff"),
    "bad": ("#b3261e", "#ff8a80"),
    **{f"k-{kind.value}": pair for kind, pair in _KINDS.items()},
}

_RULES = """
& { background: var(--bg); color: var(--text); padding: 20px; border-radius: 8px; overflow: hidden;
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; text-align: left; }
& h1 { font-size: 22px; font-weight: 650; margin: 0 0 16px; color: inherit; }
& h2 { font-size: 16px; font-weight: 650; margin: 28px 0 8px; color: inherit; }
& p { margin: 6px 0; }
& .note { color: var(--muted); font-size: 13px; }
& .bad { color: var(--bad); }
& .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(118px, 1fr)); gap: 10px;
  margin: 0; padding: 0; }
& .tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 12px; min-width: 0; }
& .tile dt { color: var(--muted); font-size: 12px; font-weight: 400; margin: 0; }
& .tile dd { font-size: 17px; font-weight: 650; margin: 0; overflow-wrap: anywhere;
  font-variant-numeric: tabular-nums; }
& .tile dd.note { font-size: 12px; font-weight: 400; }
& .scroll { overflow-x: auto; }
& table { border-collapse: collapse; width: 100%; margin: 8px 0; font-size: 13px;
  font-variant-numeric: tabular-nums; color: inherit; background: none; }
& tr, & tbody tr:nth-child(odd), & tbody tr:hover { background: none; }
& th, & td { padding: 5px 10px; border: 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; vertical-align: top; color: inherit; }
& th { font-weight: 600; }
& thead th { color: var(--muted); font-size: 12px; }
& th:first-child, & td:first-child, & .words td { text-align: left; }
& .words td { white-space: normal; overflow-wrap: anywhere; }
& td small { display: block; color: var(--muted); font-size: 12px; }
& .swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 8px; vertical-align: -1px; }
& .bar { display: flex; gap: 2px; height: 26px; border-radius: 6px; overflow: hidden;
  background: var(--panel); margin: 10px 0 4px; }
& .bar span { min-width: 2px; }
& details { border: 1px solid var(--line); border-radius: 8px; margin: 10px 0; }
& summary { cursor: pointer; padding: 8px 12px; color: var(--muted); }
& summary b { color: var(--text); }
& details > div { padding: 0 12px 10px; }
& svg { display: block; width: 100%; min-width: 660px; height: auto; background: none; }
& svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  fill: var(--text); }
& svg .muted { fill: var(--muted); font-size: 11px; }
& svg .bad { fill: var(--bad); }
& svg .end { text-anchor: end; }
& svg .mid { text-anchor: middle; }
& svg .grid { stroke: var(--line); stroke-width: 1; }
& svg .hover { fill: transparent; }
& svg g:hover > .hover { fill: var(--panel); }
& svg .fault { fill: none; stroke: var(--bad); stroke-width: 2; }
& svg .open { fill: none; stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 4 3; }
& svg .wait { fill: var(--bg); fill-opacity: 0.5; }
& svg .tick { fill: var(--text); stroke: var(--bg); stroke-width: 1; }
& svg .critical, & .key .critical { fill: var(--critical); background: var(--critical); }
& .key { display: flex; flex-wrap: wrap; gap: 4px 18px; color: var(--muted); font-size: 12px;
  margin: 8px 0; padding: 0; list-style: none; }
& .key li { margin: 0; }
& .key i { display: inline-block; vertical-align: middle; margin-right: 6px; }
& .key .critical { width: 22px; height: 4px; border-radius: 2px; }
& .key .first { width: 3px; height: 14px; background: var(--text); }
& .key .half { width: 22px; height: 12px; background: var(--k-llm); opacity: 0.5;
  border-radius: 2px; }
& .key .fault { width: 18px; height: 9px; border: 2px solid var(--bad); border-radius: 3px; }
& .key .open { width: 18px; height: 9px; border: 1.5px dashed var(--muted); border-radius: 3px; }
& ul.advice { list-style: none; margin: 0; padding: 0; }
& ul.advice li { border-left: 4px solid var(--line); background: var(--panel); margin: 8px 0;
  padding: 8px 12px; border-radius: 0 8px 8px 0; overflow-wrap: anywhere; }
& ul.advice li.high { border-left-color: var(--bad); }
& code { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: inherit;
  background: var(--bg); border: 1px solid var(--line); border-radius: 4px; padding: 1px 5px; }
"""

# Notebooks say in their own ways which theme is on; what they say is stronger than the system.
_DARK_HOSTS = (
    'body[data-jp-theme-light="false"]',
    "body.vscode-dark",
    'html[theme="dark"]',
    'html[data-theme="dark"]',
)
_LIGHT_HOSTS = (
    'body[data-jp-theme-light="true"]',
    "body.vscode-light",
    'html[theme="light"]',
    'html[data-theme="light"]',
)


def scoped_css() -> str:
    """The rules of the report itself; each selector is below its root element.

    The colours follow the root's own `color-scheme` through `light-dark()`; browsers that do not
    know it (before 2024) follow the system's preference.
    """
    scope = f".{ROOT}"
    both = "".join(f"--{k}:light-dark({a},{b});" for k, (a, b) in _COLOURS.items())
    fill = "fill:var(--k-{0});background:var(--k-{0})"
    rules = [
        _rule(scope, _variables(0)),
        _rule("@media (prefers-color-scheme: dark)", _rule(scope, _variables(1))),
        _rule("@supports (color: light-dark(#fff,#000))", _rule(scope, both)),
        _rule(_hosts(_DARK_HOSTS), "color-scheme:dark"),
        _rule(_hosts(_LIGHT_HOSTS), "color-scheme:light"),
        _RULES.strip().replace("&", scope),
        *(_rule(f"{scope} .k-{kind.value}", fill.format(kind.value)) for kind in SpanKind),
    ]
    return "\n".join(rules) + "\n"


def page_css() -> str:
    """What a page of its own needs besides: follow the system's theme, sensible margins."""
    light, dark = _COLOURS["bg"]
    rules = [
        _rule(":root", "color-scheme:light dark"),
        _rule("body", f"margin:0;background:{light}"),
        _rule("@media (prefers-color-scheme: dark)", _rule("body", f"background:{dark}")),
        _rule(
            "@supports (color: light-dark(#fff,#000))",
            _rule("body", f"background:light-dark({light},{dark})"),
        ),
        _rule(f".{ROOT}", "max-width:1120px;margin:0 auto;box-sizing:border-box"),
    ]
    return "\n".join(rules) + "\n"


def _rule(selector: str, body: str) -> str:
    return f"{selector}{{{body}}}"


def _variables(theme: int) -> str:
    return "".join(f"--{name}:{pair[theme]};" for name, pair in _COLOURS.items())


def _hosts(hosts: tuple[str, ...]) -> str:
    return ",".join(f"{host} .{ROOT}" for host in hosts)
