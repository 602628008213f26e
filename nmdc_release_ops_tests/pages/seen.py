"""A page as a browser sees it: its elements and its text."""

from html.parser import HTMLParser

HOSTILE = "</pre></td><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;"


class Seen(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "i", "br", "small", "a", "div", "span"),
    *("table", "tr", "th", "td", "details", "summary", "pre", "dl", "dt", "dd", "ul", "li", "svg", "rect", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "name", "content", "http-equiv", "class", "id", "href", "open", "colspan", "data-label"),
    *("role", "aria-label", "x", "y", "width", "height", "rx"),
}


def look_at(html: str) -> Seen:
    """The page, in which everything that was opened is closed, and nothing does anything."""
    seen = Seen(html)
    assert seen.open == []
    assert {tag for tag, _ in seen.elements} <= ELEMENTS
    assert {name for _, attributes in seen.elements for name in attributes} <= ATTRIBUTES
    assert "<script" not in html and "<img" not in html
    return seen


def assert_loads_nothing(html: str) -> None:
    assert "default-src 'none'" in html
    assert "http://" not in html and "https://" not in html and "url(" not in html
