"""How pages look: light and dark, narrow and wide, on a screen and on paper."""

STYLE = """
:root { --ink: #1c2230; --soft: #5d6675; --line: #d9dee6; --paper: #ffffff; --shade: #f4f6f9; --blue: #0072b2;
  --orange: #c75000; color-scheme: light; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e8ebf0; --soft: #9aa4b2; --line: #3a4252;
  --paper: #14181f; --shade: #1c222c; --blue: #56b4e9; --orange: #e69f00; color-scheme: dark; } }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 60rem; padding: 2rem 1.25rem 4rem; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .3rem; }
p { max-width: 44rem; } .lead { font-size: 1.08rem; } figcaption, .caption, thead th { color: var(--soft); }
.finding, .note { border-left: 4px solid var(--blue); background: var(--shade); padding: .6rem .9rem;
  max-width: 42.5rem; margin: .6rem 0; } .note { border-color: var(--orange); }
.contents { border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); padding: .5rem 0;
  margin: 1.2rem 0; }
.contents ol { columns: 15rem; margin: 0; padding-left: 1.5rem; } .contents li { margin: .1rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem .3rem 0; vertical-align: top; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 500; } thead th { vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
tbody th, td:first-child { white-space: nowrap; }
.words th, .words td { text-align: left; } .words tbody th { white-space: normal; min-width: 2.5rem; max-width: 15rem; }
.words td { min-width: 4.2rem; overflow-wrap: anywhere; } .words td:last-child { min-width: 9rem; }
figure { margin: 1rem 0; } figcaption, .caption { font-size: .9rem; max-width: 44rem; }
.caption { margin: 1.2rem 0 .2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
figure svg { max-width: 45rem; display: block; } .spark { width: 7.5rem; height: 1.6rem; display: block; }
.axis { stroke: var(--line); } .grid { stroke: var(--line); stroke-dasharray: 2 4; } .dot { fill: var(--orange); }
.blue { stroke: var(--blue); } .orange { stroke: var(--orange); } .curve { fill: none; stroke-width: 2; }
.bar, .ridge { fill: var(--blue); fill-opacity: .35; } .ridge { stroke: var(--blue); stroke-width: 1.2; }
.band { fill: var(--soft); fill-opacity: .22; } .full { fill: var(--blue); } .warm { fill: var(--orange); }
.whisker { stroke: var(--ink); stroke-width: 1.4; } .atom { stroke: var(--blue); stroke-width: 3; }
img.picture { max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; } .best { font-weight: 650; }
a { color: var(--blue); } li { max-width: 42rem; margin: .3rem 0; }
:focus-visible { outline: 3px solid var(--orange); outline-offset: 2px; }
.mark { stroke: var(--orange); stroke-width: 1.5; stroke-dasharray: 5 4; }
pre { background: var(--shade); border: 1px solid var(--line); padding: .7rem .9rem; overflow-x: auto;
  max-width: 43rem; font-size: .86rem; line-height: 1.45; } code { font-family: ui-monospace, monospace; }
@media (max-width: 40rem) { body { padding: 1.2rem .9rem 3rem; } h1 { font-size: 1.4rem; } svg text { font-size: 17px; }
  table { font-size: .8rem; } th, td { padding-right: .4rem; }
  .words, .words tbody, .words tr, .words th, .words td { display: block; max-width: none; border: 0; padding: 0; }
  .words thead { position: absolute; left: -9999px; }
  .words tr { border-bottom: 1px solid var(--line); padding: .4rem 0; } .words tbody th { font-weight: 650; }
  .words td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); } }
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after { transition: none !important; animation: none !important; }
  html { scroll-behavior: auto; } }
@page { size: A4; margin: 16mm 14mm; }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } h2, h3, .caption { break-after: avoid; }
  figure, tr, .finding, .note { break-inside: avoid; } figure svg { max-width: 34rem; } .scroll { overflow: visible; }
  table { font-size: 8pt; } th, td { white-space: normal !important; overflow-wrap: anywhere; min-width: 0 !important; }
  thead th { overflow-wrap: normal; } pre { white-space: pre-wrap; overflow-wrap: anywhere; break-inside: avoid; }
  thead { display: table-header-group; } a { color: inherit; } .spark { width: 5rem; } }
"""
