"""A page of HTML that people can open and forward: it needs no other file, and runs no script."""

from collections.abc import Container, Iterable, Sequence
from html import escape


def whole_page(title: str, parts: Iterable[str], style: str = "") -> str:
    """The complete page.

    Args:
        title: plain text; also the heading.
        parts: HTML, with everything that comes from elsewhere escaped.
        style: more CSS for this page.
    """
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            # In case something was not escaped: the browser runs and loads nothing.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n",
            *parts,
            "</body>\n</html>\n",
        )
    )


def rows_of(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int] = ()) -> str:
    """A table. On a narrow screen each row becomes a block: its first cell, then a line for each other one with its head.

    Args:
        heads: plain text.
        rows: cells of HTML, with everything that comes from elsewhere escaped.
        numbers: columns of numbers.
    """
    kind = [' class="n"' if number in numbers else "" for number in range(len(heads))]
    label = [f' data-label="{escape(head)}"' if number else "" for number, head in enumerate(heads)]
    head = "".join(f"<th{kind[number]}>{escape(text)}</th>" for number, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(f"<td{kind[n]}{label[n]}>{cell}</td>" for n, cell in enumerate(row)) + "</tr>\n"
        for row in rows
    )
    return f'<div class="wide"><table class="rows"><tr class="heads">{head}</tr>\n{body}</table></div>\n'


_STYLE = """
:root { color-scheme: light dark; --quiet: #595959; --line: #8886; --good: #2e7d32; --bad: #c62828; --warn: #d97706; }
@media (prefers-color-scheme: dark) { :root { --quiet: #b8b8b8; --good: #66bb6a; --bad: #f0706c; --warn: #fbbf24; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1300px; margin: 2rem auto; padding: 0 1.5rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.3; }
h2 { font-size: 1.25rem; margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); }
small, .quiet { color: var(--quiet); font-weight: normal; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; }
th { border-bottom: 1px solid var(--line); overflow-wrap: normal; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide table { margin: 0; }
.rows td { overflow-wrap: break-word; max-width: 34rem; }
.n { text-align: right; font-variant-numeric: tabular-nums; padding-left: 1rem; white-space: nowrap; }
.path, pre { font: 13px/1.45 ui-monospace, monospace; }
pre { white-space: pre-wrap; border: 1px solid var(--line); border-radius: 4px; padding: .6rem; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; }
@media (max-width: 640px) {
  body { margin: 1rem auto; padding: 0 1rem; }
  h1 { font-size: 1.3rem; }
  h2 { margin-top: 2rem; }
  .rows, .rows tbody, .rows tr, .rows td { display: block; }
  .rows .heads { display: none; }
  .rows tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
  .rows td, .rows .n { padding: .1rem 0; white-space: normal; max-width: none; overflow-wrap: anywhere; }
  .rows td[data-label]::before { content: attr(data-label); color: var(--quiet); margin-right: .8rem; }
  .rows td:first-child { font-weight: 600; text-align: left; }
  .rows .n[data-label] { display: flex; justify-content: space-between; }
  .rows td:empty, .rows td.n[data-label]:empty { display: none; }
}
@media print {
  body { max-width: none; margin: 0; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  h2, summary { break-after: avoid; }
  tr, svg { break-inside: avoid; }
  a { color: inherit; }
  details::details-content { content-visibility: visible; block-size: auto; }
  * { print-color-adjust: exact; }
}
"""
