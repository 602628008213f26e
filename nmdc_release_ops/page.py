"""A page of HTML that people can open and forward: it needs no other file, and runs no script."""

from collections.abc import Iterable
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
            '<meta name="viewport" content="width=device-width">\n'
            # In case something was not escaped: the browser runs and loads nothing.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n",
            *parts,
            "</body>\n</html>\n",
        )
    )


_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1300px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.25rem; margin-top: 3rem; padding-top: .8rem; border-top: 1px solid #8886; }
small, .quiet { color: #777; font-weight: normal; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .2rem .9rem .2rem 0; overflow-wrap: anywhere; }
th { border-bottom: 1px solid #8886; }
.n { text-align: right; font-variant-numeric: tabular-nums; padding-left: 1rem; white-space: nowrap; }
.path, pre { font: 13px/1.45 ui-monospace, monospace; }
"""
