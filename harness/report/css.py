"""The report's style sheet: light and dark, phone and paper. Colours from Okabe and Ito's palette."""

LIGHT = """
  --paper: #ffffff; --ink: #1b1d21; --muted: #62686f; --rule: #dfe2e6; --faint: #f5f6f7;
  --gain: #0068a5; --loss: #b84a00; --fused: #0068a5; --control: #b37400; --other: #7b838c;
"""
DARK = """
  --paper: #16181c; --ink: #e8e9eb; --muted: #a0a6ae; --rule: #33373d; --faint: #1e2126;
  --gain: #6cbdf0; --loss: #ff9a5c; --fused: #6cbdf0; --control: #f0b040; --other: #8b939c;
"""

STYLE = (
    ":root { color-scheme: light dark;"
    + LIGHT
    + "}\n@media (prefers-color-scheme: dark) { :root {"
    + DARK
    + "} }\n@media print { :root {"
    + LIGHT
    + "} }\n"
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums lining-nums; overflow-wrap: break-word; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
h1 { font-size: 1rem; font-weight: 600; margin: 0 0 .5rem; }
h2 { font-size: 1.2rem; font-weight: 600; line-height: 1.3; margin: 3.5rem 0 .25rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 2rem 0 .25rem; }
p { margin: .5rem 0; max-width: 44rem; }
.muted, .lede, caption, small, .ci, .role, .steps { color: var(--muted); }
.lede { margin: 0 0 1rem; }
.gain { color: var(--gain); } .loss { color: var(--loss); }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  font-size: .85em; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }

.run { color: var(--muted); font-size: .9rem; }
.run b { color: var(--ink); font-weight: 600; }
.verdict { margin: 1.25rem 0 1.5rem; padding-left: 1.1rem; border-left: 4px solid var(--other); }
.verdict.gain { border-color: var(--gain); } .verdict.loss, .verdict.mixed { border-color: var(--loss); }
.verdict, .verdict p { color: var(--ink); }
.verdict p { max-width: 50rem; }
.verdict .first { font-size: 1.45rem; line-height: 1.35; font-weight: 500; letter-spacing: -.005em;
  margin-top: 0; }
.verdict .scope { color: var(--muted); font-size: .9rem; }
.outcome { font-size: .9rem; font-weight: 600; margin: 0; }
.verdict.gain .outcome { color: var(--gain); }
.verdict.loss .outcome, .verdict.mixed .outcome { color: var(--loss); }

table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: 1rem 0 0; }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0;
  border-bottom: 1px solid var(--rule); }
th { font-weight: 600; }
thead th { vertical-align: bottom; }
thead .role { display: block; font-weight: 400; font-size: .85em; }
th small { display: block; font-weight: 400; font-size: .85em; }
.scores td, .scores thead th + th { text-align: right; padding-right: 0; padding-left: .75rem; }
.scores td:last-child, .scores thead th:last-child { padding-left: 1.5rem; }
td.number, th.number { text-align: right; }
td:last-child, th:last-child { padding-right: 0; }
.scores td, td.number { white-space: nowrap; }
.scores td span { display: block; }
.scores td .ci { font-size: .85em; }
.scores .capability th { padding-top: 1.4rem; border-bottom: 1px solid var(--ink); }
.scores .average th, .scores .average td { background: var(--faint); }
.scores td.fused { font-weight: 700; }
.scores .value { font-size: 1.05em; }
.facts th { width: 14rem; font-weight: 400; color: var(--muted); }
.facts td { overflow-wrap: anywhere; }

.dots { display: grid; grid-template-columns: minmax(7rem, 12rem) 1fr 3.5rem 1fr 12rem; gap: .15rem .9rem;
  align-items: center; font-size: .9rem; margin-top: 1rem; }
.dots.plain { grid-template-columns: minmax(7rem, 12rem) 1fr 3.5rem; }
.dots > .row { display: contents; }
.dots .group { grid-column: 1 / -1; font-weight: 600; margin-top: .9rem;
  border-bottom: 1px solid var(--ink); }
.dots .head { color: var(--muted); font-size: .85em; }
.dots .scale { display: flex; justify-content: space-between; }
.dots .number { text-align: right; }
.dots .is-fused .name, .dots .is-fused .number { font-weight: 700; }
.dots .fact .ci { white-space: nowrap; }
.track { display: block; overflow: visible; }
.tick { stroke: var(--rule); stroke-width: 1; }
.stem { stroke-width: 2; stroke: var(--other); } .stem.fused { stroke: var(--fused); stroke-width: 3; }
.dot { fill: var(--other); stroke: var(--other); stroke-width: 1.5; }
.dot.fused { fill: var(--fused); stroke: var(--fused); }
.whisker { stroke-width: 2; stroke: var(--other); }
.whisker.gain { stroke: var(--gain); } .whisker.loss { stroke: var(--loss); }
.dot.gain { fill: var(--gain); stroke: var(--gain); } .dot.loss { fill: var(--loss); stroke: var(--loss); }
.dot.open { fill: var(--paper); }

.forest, .bars { display: grid; gap: .15rem .9rem; align-items: center; font-size: .9rem; margin-top: 1rem; }
.forest { grid-template-columns: minmax(9rem, 16rem) 1fr 12rem 5rem; }
.bars { grid-template-columns: minmax(9rem, 15rem) 1fr minmax(12rem, 22rem); }
.forest > .row, .bars > .row { display: contents; }
.forest .head { color: var(--muted); font-size: .85em; border-bottom: 1px solid var(--ink); align-self: end; }
.forest .name.head { color: var(--ink); font-size: 1em; font-weight: 600; }
.forest .scale { display: flex; justify-content: space-between; }
.forest .reach { text-align: right; color: var(--muted); }
.forest .average .name, .forest .average .fact { font-weight: 600; }
.forest .average .ci { font-weight: 400; }
.forest .name small, .bars .name small { font-size: .85em; font-weight: 400; }
.bars .fact { color: var(--muted); font-size: .85em; } .bars .is-fused .fact { color: var(--ink); }
.bar-gain { fill: var(--gain); stroke: var(--gain); } .bar-loss { fill: var(--loss); stroke: var(--loss); }
.bar-gain.control, .bar-loss.control { fill: var(--other); stroke: var(--other); }
.bar-gain.hollow, .bar-loss.hollow { fill: none; }

.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
  gap: 2rem; margin-top: 1rem; }
.panel-title { font-size: .9rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem; }
.key { color: var(--muted); white-space: nowrap; } .key svg { margin-right: .3rem; vertical-align: middle; }
.plot { position: relative; height: 11rem; margin: 1rem 0 .4rem 2.6rem; }
.plot svg { position: absolute; inset: 0; overflow: visible; }
.plot .rule { position: absolute; left: 0; right: 0; border-top: 1px solid var(--rule); }
.plot .rule span { position: absolute; right: 100%; margin-right: .5rem; top: -.7em; font-size: .75rem;
  color: var(--muted); }
.steps { display: flex; justify-content: space-between; margin-left: 2.6rem; font-size: .75rem; }
.curve { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke: var(--other);
  stroke-linejoin: round; }
.curve.fused { stroke: var(--fused); stroke-width: 2.5; }
.curve.control { stroke: var(--control); stroke-dasharray: 6 3; }

.example { margin: 1rem 0 1.75rem; break-inside: avoid; }
.example .prompt { background: var(--faint); padding: .7rem .9rem; max-height: 16rem; overflow: auto; }
.example table { margin-top: .3rem; }
.example th, .example td { padding-top: .2rem; padding-bottom: .2rem; }
.example th { width: 11rem; font-weight: 400; }
.example .mark { width: 5.5rem; white-space: nowrap; }
.right { color: var(--gain); } .wrong { color: var(--loss); }
details summary { cursor: pointer; margin-top: 1rem; }
details pre { background: var(--faint); padding: .7rem .9rem; margin-top: .5rem; }

@media screen and (max-width: 46rem) {
  main { padding: 1.5rem 1rem 4rem; }
  .verdict .first { font-size: 1.2rem; }
  .dots, .dots.plain { grid-template-columns: 1fr 1fr; gap: 0 1rem; }
  .dots > .row { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; margin-top: .5rem; }
  .dots .head { margin-bottom: .25rem; }
  .dots .name { grid-column: 1; grid-row: 1; } .dots .number { grid-column: 1; grid-row: 1; }
  .dots .score { grid-column: 1; grid-row: 2; } .dots .difference { grid-column: 2; grid-row: 2; }
  .dots .fact { grid-column: 2; grid-row: 1; text-align: center; }
  .dots .fact .ci { font-size: .85em; }
  .forest, .bars { grid-template-columns: 1fr 1fr; gap: 0 1rem; }
  .forest > .row, .bars > .row { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid;
    padding: .3rem 0; border-bottom: 1px solid var(--rule); }
  .forest { grid-template-columns: 3fr 2fr; }
  .forest .name, .forest .difference { grid-column: 1 / -1; }
  .forest .fact.head, .forest .reach.head { display: none; }
  .bars .name, .bars .fact { grid-column: 1 / -1; } .bars .track-cell { grid-column: 1 / -1; }
  .scores .least { grid-column: 2 / -1; }
  .scores thead { display: none; }
  .scores, .scores tbody, .scores tr, .scores th, .scores td { display: block; }
  .scores tr { border-bottom: 1px solid var(--rule); padding: .5rem 0; }
  .scores th, .scores td, .scores td:last-child { border: 0; padding: .1rem 0; }
  .scores .average { padding-left: .5rem; padding-right: .5rem; background: var(--faint); }
  .scores .capability { padding-bottom: 0; }
  .scores td { display: grid; grid-template-columns: 1fr 3.2rem 4.6rem 7.5rem; text-align: right;
    padding: .1rem 0; }
  .scores td::before { content: attr(data-label); text-align: left; overflow-wrap: anywhere;
    white-space: normal; }
  .scroll { overflow-x: auto; }
  .facts th { width: 8rem; }
  .example tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--rule);
    padding: .3rem 0; }
  .example th, .example td { border: 0; padding: 0; width: auto; }
  .example td.answer { grid-column: 1 / -1; }
}
@media print {
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  h2, h3 { break-after: avoid; } tr, .panel, .example { break-inside: avoid; }
  .example .prompt { max-height: none; }
}
"""
)
