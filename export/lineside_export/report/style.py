"""How the report looks, in light and in dark."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --quiet: #57606a; --line: #d5dae0;
  --panel: #f6f8fa; --accent: #0a63c9; --good: #1a7f37; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e9ec; --quiet: #9aa4af;
  --line: #333b44; --panel: #1c2127; --accent: #6cb0ff; --good: #57c878; --bad: #ff8b82; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin: 0 0 1rem; font-size: 1.9rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 0.75rem; padding-bottom: 0.3rem; border-bottom: 1px solid var(--line); font-size: 1.3rem; }
h3, h4 { margin: 1.5rem 0 0.5rem; font-size: 1.05rem; }
p { margin: 0.5rem 0; max-width: 50rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 0.6rem; margin: 0; }
dl div { padding: 0.6rem 0.8rem; border: 1px solid var(--line); border-radius: 6px; background: var(--panel); }
dt { color: var(--quiet); font-size: 0.85rem; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
@media (min-width: 45rem) { dl div:first-child { grid-column: span 2; } }
.notes { color: var(--bad); }
.legend, figcaption, caption { color: var(--quiet); font-size: 0.9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.75rem 0; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { padding-bottom: 0.4rem; text-align: left; }
th, td { padding: 0.35rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; white-space: nowrap; }
th:first-child, td:first-child, .units :nth-child(2) { text-align: left; }
.reasons td:last-child, .reasons th:last-child { min-width: 18rem; text-align: left; }
tbody th { font-weight: 600; white-space: nowrap; }
span.chosen { color: var(--good); font-weight: 700; } span.failed { color: var(--bad); }
span.dropped { color: var(--quiet); font-weight: 400; }
.pair { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; }
.pair figure { flex: 1 1 20rem; max-width: 30rem; margin: 0.5rem 0; }
.matrix th, .matrix td { text-align: right; }
.matrix tbody td { min-width: 3.5rem; border: 1px solid var(--line); }
.matrix .hit { background: color-mix(in srgb, var(--good) calc(var(--share) * 0.45), transparent); }
.matrix .miss { background: color-mix(in srgb, var(--bad) var(--share), transparent); }
.card { padding: 0.25rem 1.25rem; border: 1px solid var(--line); border-radius: 6px; background: var(--panel); }
svg { display: block; width: 100%; min-width: 20rem; height: auto; }
.wide > svg { min-width: 40rem; max-width: 54rem; }
svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
svg .tick { fill: var(--quiet); font-size: 12px; } svg .axis { fill: var(--quiet); }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
.frame { fill: var(--panel); stroke: var(--line); } .grid { stroke: var(--line); stroke-width: 1; }
.zero { stroke: var(--quiet); } .dot { fill: var(--accent); fill-opacity: 0.45; }
.leader { fill: none; stroke: var(--line); } .leader.chosen { stroke: var(--good); }
.point { fill: var(--accent); stroke: var(--accent); stroke-width: 2; }
.point.dropped { fill: var(--paper); stroke: var(--quiet); }
.point.chosen { fill: var(--good); stroke: var(--good); }
.ring { fill: none; stroke: var(--good); stroke-width: 2; }
svg .name.chosen { fill: var(--good); font-weight: 700; } svg .name.dropped { fill: var(--quiet); }
@media print { main { max-width: none; padding: 0; } section { break-inside: avoid-page; } }
"""
