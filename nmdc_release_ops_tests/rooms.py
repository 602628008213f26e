"""The picture of the rooms in CONTRIBUTING.md, made from the package itself.

`python -m nmdc_release_ops_tests.rooms` writes it; test_layering.py checks that it is current.
"""

import ast
from pathlib import Path

from nmdc_release_ops_tests.layout import LAYOUT, PACKAGE, PACKAGE_FOLDER, ROOMS, imports

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms -->\n", "<!-- end of rooms -->\n"
_SENTENCE_COLUMN = 24


def draw() -> str:
    """Each folder and file of the layout, from the top down: what it knows, and which rooms beside it it uses."""
    lines = []
    for name in LAYOUT:
        folder = PACKAGE_FOLDER / name
        if folder.is_dir():
            lines += _describe(name, indent="")
            for room in ROOMS.get(name, []):
                lines += _describe(f"{name}/{room}", indent="  ")
                for inner in ROOMS.get(f"{name}/{room}", []):
                    lines += _describe(f"{name}/{room}/{inner}", indent="    ")
            if name == "schema":
                lines += _describe("schema/worker", indent="  ")
                for inner in ROOMS["schema/worker"]:
                    lines += _describe(f"schema/worker/{inner}", indent="    ")
        else:
            lines.append(_line(f"{name}.py", _first_sentence(folder.with_suffix(".py"))))
    return "".join(f"    {line}\n" for line in lines)


def current(page: str) -> str:
    """The picture that the page shows."""
    return page.partition(BEGIN)[2].partition(END)[0]


def write() -> None:
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{draw()}\n{END}{rest.partition(END)[2]}")


def _describe(path: str, indent: str) -> list[str]:
    folder = PACKAGE_FOLDER / path
    lines = [_line(f"{indent}{folder.name}/", _first_sentence(folder / "__init__.py"))]
    if "/" in path and (used := _rooms_used(path)):
        lines.append(f"{'':{_SENTENCE_COLUMN}}uses {', '.join(used)}")
    return lines


def _line(name: str, sentence: str) -> str:
    return f"{name:{_SENTENCE_COLUMN}}{sentence}"


def _first_sentence(file: Path) -> str:
    text = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def _rooms_used(path: str) -> list[str]:
    """The rooms beside this one that its files import, in the order of the layout."""
    parent, _, name = path.rpartition("/")
    inside = f"{PACKAGE}.{parent.replace('/', '.')}."
    used = set()
    for file in (PACKAGE_FOLDER / path).rglob("*.py"):
        relative = file.relative_to(PACKAGE_FOLDER).as_posix()
        for _, module in imports(relative, ast.parse(file.read_text())):
            if module.startswith(inside):
                used.add(module.removeprefix(inside).split(".")[0])
    return [room for room in ROOMS.get(parent, []) if room in used and room != name]


if __name__ == "__main__":
    write()
