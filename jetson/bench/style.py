"""How the benchmark's page looks, on paper and in the dark."""

STYLE = """
:root { --ink: #1f2933; --faint: #5b6774; --line: #e2e7ed; --paper: #fff; --ground: #f5f6f8;
  --accent: #5b21b6; --soft: #f3efff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --faint: #a0abb8; --line: #313a46; --paper: #1b222b; --ground: #12171e;
    --accent: #c4b5fd; --soft: #2a2340; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
header { background: linear-gradient(120deg, #4c1d95, #7c3aed 70%, #a855f7); color: #fff;
  padding: 2.4rem 0 5rem; }
header > div, main { max-width: 68rem; margin: 0 auto; padding: 0 1.2rem; }
h1 { margin: 0 0 .4rem; font-size: clamp(1.6rem, 4.5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; }
header p { margin: 0; max-width: 48rem; font-size: 1.06rem; opacity: .94; }
main { padding-bottom: 3rem; }
.headline { display: grid; grid-template-columns: 1.6fr 1fr 1fr 1fr; gap: 1rem;
  margin-top: -3.2rem; }
.headline div, section { background: var(--paper); border: 1px solid var(--line); border-radius: .9rem;
  box-shadow: 0 1px 3px rgb(31 41 51 / 7%); }
.headline div { padding: 1rem 1.3rem; }
.headline strong { display: block; font-size: clamp(1.3rem, 4vw, 2rem); line-height: 1.25;
  color: var(--accent); font-variant-numeric: tabular-nums; letter-spacing: -.02em; overflow-wrap: anywhere; }
.headline span { color: var(--faint); font-size: .93rem; }
section { margin-top: 1.4rem; padding: 1.4rem 1.5rem 1.6rem; }
h2 { margin: 0 0 .3rem; font-size: 1.3rem; letter-spacing: -.01em; }
section > p { margin: 0 0 1.1rem; color: var(--faint); max-width: 56rem; }
h3 { margin: 1.2rem 0 .2rem; font-size: 1rem; }
svg { display: block; width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.scroll svg { min-width: 38rem; }
svg text { font-family: inherit; }
.tick { font-size: 13px; fill: var(--faint); font-variant-numeric: tabular-nums; }
.label { font-size: 14px; font-weight: 600; }
.grid { stroke: var(--line); }
.area { fill-opacity: .22; stroke-width: 1.5; }
.mark { stroke-width: 3; stroke-linecap: round; }
.box { fill-opacity: .22; stroke-opacity: .5; }
.band { fill-opacity: .12; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
th, td { padding: .55rem .8rem .55rem 0; border-top: 1px solid var(--line); text-align: right;
  vertical-align: top; font-variant-numeric: tabular-nums; white-space: nowrap; }
thead th { border-top: 0; color: var(--faint); font-weight: 500; }
th:first-child, td.text { text-align: left; }
td.text { white-space: normal; min-width: 12rem; color: var(--faint); }
tr > *:last-child { padding-right: 0; }
tr.winner > * { background: var(--soft); }
tr.winner > th:first-child { box-shadow: inset 3px 0 0 var(--accent); padding-left: .6rem; }
tr.out > * { color: var(--faint); }
.dot { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .5em; }
ul { margin: .2rem 0 0; padding-left: 1.2rem; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin-bottom: .6rem; font-size: .93rem; }
.setup th { font-weight: 400; color: var(--faint); white-space: normal; width: 34%; }
.setup td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
footer { margin-top: 1.6rem; color: var(--faint); font-size: .9rem; text-align: center; }
@media (max-width: 40rem) {
  main, header > div { padding-left: .8rem; padding-right: .8rem; }
  section { padding: 1.1rem 1rem 1.2rem; }
  .headline { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .headline div { padding: .7rem .9rem; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
