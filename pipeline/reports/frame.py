"""The frame of a page: one HTML file that needs no other file, no script and no network.

Reads and writes nothing. Does: lays out a head, sections and their style, light or dark as the
reader's system has it. The policy in its head lets a browser run or fetch nothing.
"""

from collections.abc import Sequence

from pipeline.disk.clean import PAGE
from pipeline.reports.words import safe


def laid(title: str, lead: str, head: str, sections: Sequence[tuple[str, str]]) -> str:
    """`title` and `lead` are text; `head` and the bodies of (heading, body) are HTML."""
    told = [(heading.lower().replace(" ", "-"), heading, body) for heading, body in sections]
    links = "".join(f'<a href="#{key}">{heading}</a>' for key, heading, _ in told)
    body = "".join(
        f'<section id="{key}">\n<h2>{heading}</h2>\n{body}\n</section>\n'
        for key, heading, body in told
    )
    return _PAGE.format(
        mark=PAGE.decode(), title=safe(title), lead=safe(lead), style=_STYLE, head=head,
        links=links, body=body,
    )  # fmt: skip


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:;
 media-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kind">recipe</p>
<h1>{title}</h1>
<p class="lead">{lead}</p>
<nav>{links}</nav>
</header>
<main>
{head}
{body}</main>
</body>
</html>
"""

# Blue, amber and green keep apart for the colour-blind, on white and on black (Okabe and Ito 2008).
_STYLE = """\
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --sheet: #ffffff; --ink: #1d1f24; --soft: #666b76; --rule: #e3e1dc;
  --a: #2f6fb2; --b: #e09a2d; --c: #1f9a7a; --d: #b2568f; --bad: #b3261e; --warn: #8a5a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --sheet: #1c1f25; --ink: #e6e7ea; --soft: #9aa0ab; --rule: #30343c;
    --a: #6aa5e3; --b: #e8b04f; --c: #4cc3a3; --d: #d98abb; --bad: #ff8a80; --warn: #f0c060;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 0 1.25rem 4rem; max-width: 68rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
header { padding: 2.5rem 0 .5rem; }
h1 { margin: 0; font-size: 2.1rem; line-height: 1.15; letter-spacing: -.02em;
  overflow-wrap: anywhere; }
h2 { margin: 3rem 0 .75rem; padding-top: .9rem; border-top: 1px solid var(--rule);
  font-size: 1.25rem; letter-spacing: -.01em; }
h3 { margin: 1.75rem 0 .5rem; font-size: .95rem; }
p { margin: .5rem 0; max-width: 46rem; }
.kind { margin: 0 0 .25rem; color: var(--soft); font-size: .8rem; letter-spacing: .08em;
  text-transform: uppercase; }
.lead { color: var(--soft); font-size: 1.05rem; }
.note { color: var(--soft); font-size: .88rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; margin-top: 1rem; font-size: .9rem; }
a { color: var(--a); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px;
  margin: 1.5rem 0 0; overflow: hidden; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--rule); }
.tiles div { padding: .8rem 1rem; background: var(--sheet); }
.tiles dt { color: var(--soft); font-size: .8rem; }
.tiles dd { margin: 0; font-size: 1.45rem; line-height: 1.3; letter-spacing: -.01em; }
.tiles small { display: block; color: var(--soft); font-size: .8rem; letter-spacing: 0; }
.call { margin: 1.25rem 0 0; padding: .7rem 1rem; border-left: 4px solid var(--warn);
  border-radius: 0 6px 6px 0; background: var(--sheet); overflow-wrap: anywhere; }
.call b { color: var(--warn); }
.bad { border-color: var(--bad); } .bad b { color: var(--bad); }
.call ul { margin: .3rem 0 0; padding-left: 1.1rem; font-size: .88rem; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; }
th, td { padding: .45rem .9rem .45rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; }
th { color: var(--soft); font-weight: 500; font-size: .82rem; }
td:last-child, th:last-child { padding-right: 0; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
td:first-child { white-space: nowrap; }
code { font: .85em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
td .key { margin: 0; color: inherit; font-size: inherit; } td code { overflow-wrap: normal; }
td ul { margin: 0; padding: 0; list-style: none; } td li code { overflow-wrap: anywhere; }
td li + li { margin-top: .25rem; }
td li span { color: var(--soft); font-size: .85em; overflow-wrap: anywhere; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .5rem 0; color: var(--soft);
  font-size: .85rem; }
.key i { display: inline-block; width: .75em; height: .75em; margin-right: .4em;
  border-radius: 2px; }
.bars { display: grid; grid-template-columns: minmax(4.5rem, max-content) 1fr repeat(3, auto);
  gap: .4rem .9rem; align-items: center; font-size: .9rem; }
.bars .head { color: var(--soft); font-size: .8rem; }
.bars .bar { display: flex; height: .95rem; gap: 1px; }
.bar i { display: block; min-width: 1px; border-radius: 2px; }
.bars .none { color: var(--warn); font-weight: 600; }
.bars .what { overflow-wrap: anywhere; }
.train { background: var(--a); fill: var(--a); } .valid { background: var(--b); fill: var(--b); }
.test { background: var(--c); fill: var(--c); }
.s0 { fill: var(--a); } .s1 { fill: var(--b); } .s2 { fill: var(--c); } .s3 { fill: var(--d); }
.plot { padding: .8rem .9rem 1.7rem 3.6rem; }
.plot svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); }
svg .dot { fill: var(--a); fill-opacity: .55; }
svg .ideal { stroke: var(--soft); stroke-dasharray: 2 4; }
svg .end { stroke: #fff; stroke-dasharray: 4 3; }
.heard { fill: var(--soft); }
.pair { display: grid; gap: 1.5rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.cards { display: grid; gap: 1.1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19.5rem), 1fr)); }
.cards.one { grid-template-columns: 1fr; }
figure { display: flex; flex-direction: column; margin: 0; padding: .9rem 1rem 1rem;
  min-width: 0; border: 1px solid var(--rule);
  border-radius: 8px; background: var(--sheet); }
figcaption { flex: 1; }
figcaption b { font-size: 1rem; overflow-wrap: anywhere; }
figcaption p { margin: .1rem 0 0; color: var(--soft);
  font-size: .82rem; overflow-wrap: anywhere; }
figure .plot { padding: .8rem .8rem 1.5rem 3.4rem; }
figure h4 { margin: .7rem 0 0; color: var(--soft); font-weight: 500; font-size: .82rem; }
audio { display: block; width: 100%; height: 2.25rem; margin-top: .35rem; }
.ramp { display: inline-block; width: 7rem; height: .7rem; margin: 0 .5rem; border-radius: 2px; }
@media (max-width: 34rem) {
  body { padding: 0 .9rem 3rem; } header { padding-top: 1.5rem; } h1 { font-size: 1.7rem; }
  .tiles { grid-template-columns: 1fr 1fr; } .tiles dd { font-size: 1.2rem; }
  .bars { gap: .35rem .6rem; font-size: .82rem; } figure .pair { gap: .25rem; }
  th, td { padding-right: .6rem; } .opt { display: none; }
  .stack th:nth-child(3), .stack td:nth-child(3) { display: none; }
}
@media print { nav, audio { display: none; } section { break-inside: avoid-page; } }
"""
