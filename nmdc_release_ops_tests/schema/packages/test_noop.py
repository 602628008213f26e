"""A migrator counts as a no-op, and is not run, only where its source plainly does nothing."""

import ast
from pathlib import Path

import pytest

from nmdc_release_ops.schema.packages.noop import is_noop
from nmdc_release_ops.schema.packages.package import SchemaPackage, SchemaPackages
from nmdc_release_ops.schema.version import SchemaVersion

V = SchemaVersion.parse
IMPORT = "from nmdc_schema.migrators.migrator_base import MigratorBase\n"
HEAD = "class Migrator(MigratorBase):\n"
VERSIONS = '    _from_version = "1.0"\n    _to_version = "1.1"\n'
UPGRADE = "    def upgrade(self, commit_changes: bool = False) -> None:\n"
WHOLE = IMPORT + HEAD + VERSIONS + UPGRADE
EMPTY = WHOLE + "        pass\n"


def with_body(*lines: str) -> str:
    return WHOLE + "".join(f"        {line}\n" for line in lines)


def with_log(argument: str) -> str:
    return with_body(f"self.logger.info({argument})")


def with_class_body(*lines: str) -> str:
    return EMPTY + "".join(f"    {line}\n" for line in lines)


OFFENDERS = {
    # In the arguments of a log line.
    "a call in a log line": with_log("self.work()"),
    "a call in an f-string of a log line": with_log("f'{self.work()} documents'"),
    "a call in the format of an f-string": with_log("f'{self:{self.work()}}'"),
    "a call on what a log line names": with_log("self.work().count"),
    "a walrus in a log line": with_log("(done := self.work())"),
    "a comprehension in a log line": with_log("[self.work(one) for one in (1, 2)]"),
    "a starred call in a log line": with_log("*self.work()"),
    "a subscript in a log line": with_log("self.adapter['a_set']"),
    "an operator in a log line": with_log("self.adapter + 1"),
    "a call as a keyword of a log line": with_log("'x', extra=self.work()"),
    "a lambda in a log line": with_log("lambda: self.work()"),
    "a conditional in a log line": with_log("'x' if self.work() else 'y'"),
    "a call in the base's warning": with_body("self._warn_if_commit_ignored(self.work())"),
    "another method of the logger": with_body("self.logger.addHandler(commit_changes)"),
    "another logger": with_body("self.adapter.logger.info('x')"),
    # In the body of upgrade.
    "a call": with_body("self.work()"),
    "a call after a return's like": with_body("'docstring'", "return self.work()"),
    "an assignment": with_body("self.adapter.name = 'x'"),
    "a loop": with_body("for one in self.adapter: pass"),
    "an import in upgrade": with_body("import nmdc_schema.migrators.partials.work"),
    "a deletion": with_body("del self.adapter.name"),
    "an assertion": with_body("assert self.work()"),
    "a yield": with_body("yield self.work()"),
    "a function in upgrade": with_body("def inner(x=work()): pass"),
    # In the signature of upgrade.
    "a default that is called": EMPTY.replace("= False", "= work()"),
    "a keyword default that is called": EMPTY.replace("commit_changes: bool = False", "*, commit_changes=work()"),
    "an annotation that is called": EMPTY.replace(": bool", ": work()"),
    "a returned annotation that is called": EMPTY.replace("-> None", "-> work()"),
    "an annotation of all others that is called": EMPTY.replace("commit_changes: bool = False", "*rest: work()"),
    "self is another": EMPTY.replace("(self, commit_changes", "(commit_changes, self"),
    "an asynchronous upgrade": EMPTY.replace("def upgrade", "async def upgrade"),
    # Other methods and attributes.
    "__init__": with_class_body("def __init__(self, adapter=None, logger=None): adapter.work()"),
    "__init_subclass__": with_class_body("def __init_subclass__(cls): work()"),
    "a property that a log line reads": with_log("f'{self.count}'")
    + "    @property\n    def count(self): return self.work()\n",
    "another logger of the class": with_class_body("logger = property(work)"),
    "the base's warning made another": with_class_body("_warn_if_commit_ignored = work"),
    "a version that is called": EMPTY.replace('"1.1"', "work()"),
    "an annotated version that is called": EMPTY.replace('_to_version = "1.1"', "_to_version: work() = '1.1'"),
    "an attribute that is called": with_class_body("done = work()"),
    "a statement of the class": with_class_body("work()"),
    "a condition of the class": with_class_body("if True:", "    def upgrade(self): self.work()"),
    # Which upgrade it is.
    "a second upgrade": EMPTY + "    def upgrade(self): self.work()\n",
    "a first upgrade": WHOLE + "        self.work()\n" + UPGRADE + "        pass\n",
    "upgrade assigned in the class": with_class_body("upgrade = work"),
    "upgrade annotated in the class": with_class_body("upgrade: object = work"),
    "upgrade imported into the class": with_class_body("from somewhere import upgrade"),
    "upgrade assigned to the class": EMPTY + "Migrator.upgrade = work\n",
    "upgrade set on the class": EMPTY + "setattr(Migrator, 'upgrade', work)\n",
    "a walrus that makes it another": EMPTY + "(Migrator := work)\n",
    "a decorator of upgrade": EMPTY.replace(UPGRADE, "    @work\n" + UPGRADE),
    # Which class it is.
    "a decorator of the class": EMPTY.replace(HEAD, "@work\n" + HEAD),
    "a second class": EMPTY + HEAD + VERSIONS + UPGRADE + "        self.work()\n",
    "a first class": IMPORT + HEAD + UPGRADE + "        self.work()\n" + HEAD + VERSIONS + UPGRADE + "        pass\n",
    "Migrator assigned": EMPTY + "Migrator = work\n",
    "Migrator imported": EMPTY + "from logging import Logger as Migrator\n",
    "another base": EMPTY.replace("(MigratorBase)", "(Working)"),
    "a second base": EMPTY.replace("(MigratorBase)", "(MigratorBase, Working)"),
    "a base that is called": EMPTY.replace("(MigratorBase)", "(work())"),
    "a base of another module": EMPTY.replace("nmdc_schema.migrators.migrator_base", "nmdc_schema.migrators.working"),
    "a base of another name": EMPTY.replace("import MigratorBase", "import Working as MigratorBase"),
    "a base imported again": IMPORT + "from typing import Any as MigratorBase\n" + EMPTY.removeprefix(IMPORT),
    "a base assigned": IMPORT + "MigratorBase = Working\n" + EMPTY.removeprefix(IMPORT),
    "a base from nowhere": EMPTY.removeprefix(IMPORT),
    "a metaclass": EMPTY.replace("(MigratorBase)", "(MigratorBase, metaclass=Working)"),
    "a keyword of the class": EMPTY.replace("(MigratorBase)", "(MigratorBase, work=True)"),
    # Elsewhere in the module.
    "a statement of the module": EMPTY + "work()\n",
    "an assignment of the module": "done = work()\n" + EMPTY,
    "a function of the module": "def work(x=print('imported')): pass\n" + EMPTY,
    "another class": EMPTY + "class Other:\n    work()\n",
    "another import": "from nmdc_schema.migrators.partials.part import work\n" + EMPTY,
    "a relative import": "from .migrator_base import MigratorBase as Other\n" + EMPTY,
    "an import of everything": "from typing import *\n" + EMPTY,
    "a condition of the module": EMPTY + "if True:\n    from somewhere import Migrator\n",
    "an attempt": "try:\n    work()\nexcept Exception:\n    pass\n" + EMPTY,
    "a main program": EMPTY + "if __name__ == '__main__':\n    work()\n",
    "no migrator": IMPORT,
}

NOOPS = {
    "pass": EMPTY,
    "docstrings": '"""Module."""\n'
    + EMPTY.replace(VERSIONS, '    """Class."""\n' + VERSIONS)
    + '        """More."""\n',
    "return": with_body("return"),
    "return None": with_body("r'''No upgrade needed.'''", "return None"),
    "an ellipsis": with_body("..."),
    "a log line": with_log("'nothing to do'"),
    "a log line with values": with_log("'from %s to %s', self._from_version, commit_changes"),
    "a log line with an f-string": with_log("f'{self._from_version} -> {self._to_version!r:>10}'"),
    "the base's warning": with_body("self._warn_if_commit_ignored(commit_changes)", "pass"),
    "the base's warning by keyword": with_body("self._warn_if_commit_ignored(commit_changes=commit_changes)"),
    "annotated versions": EMPTY.replace("_from_version =", "_from_version: str ="),
    "other imports": "from __future__ import annotations\nimport logging\nfrom typing import Optional\n"
    + EMPTY.replace(": bool", ": Optional[bool]"),
}


@pytest.mark.parametrize("source", OFFENDERS.values(), ids=OFFENDERS.keys())
def test_whatever_is_not_plainly_empty_runs(source: str) -> None:
    assert is_noop(ast.parse(source)) is False


@pytest.mark.parametrize("source", NOOPS.values(), ids=NOOPS.keys())
def test_what_is_plainly_empty_is_not_run(source: str) -> None:
    assert is_noop(ast.parse(source)) is True


def test_a_migrator_whose_upgrade_comes_from_elsewhere_is_run_and_one_without_any_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nmdc_schema" / "migrators"
    folder.mkdir(parents=True)
    sources = {
        "assigned": IMPORT + HEAD + VERSIONS + "    upgrade = work\n",
        "inherited": IMPORT + HEAD.replace("MigratorBase", "Working") + VERSIONS,
        "set": IMPORT + HEAD + VERSIONS + "setattr(Migrator, 'upgrade', work)\n",
        "without": IMPORT + HEAD + VERSIONS,
    }
    for name, source in sources.items():
        (folder / f"migrator_from_{name}.py").write_text(source)
    assigned, inherited, set_later, without = SchemaPackage(V("1.1"), tmp_path).migrators()
    for migrator in (assigned, inherited, set_later):
        assert (migrator.does_nothing, migrator.problem) == (False, "")
    assert "no method named upgrade" in without.problem


def test_of_two_classes_the_versions_are_those_of_the_last(tmp_path: Path) -> None:
    folder = tmp_path / "nmdc_schema" / "migrators"
    folder.mkdir(parents=True)
    second = HEAD + VERSIONS.replace("1.1", "1.2") + UPGRADE + "        self.work()\n"
    (folder / "migrator_from_1_0_to_1_2.py").write_text(EMPTY + second)
    (migrator,) = SchemaPackage(V("1.2"), tmp_path).migrators()
    assert (migrator.destination, migrator.does_nothing) == ("1.2", False)


def test_the_no_ops_among_the_real_migrators_are_those_that_a_person_finds(schema_cache: Path) -> None:
    """Each of the twenty was read: an `upgrade` with a docstring and `pass`, in a class with nothing else."""
    migrators = SchemaPackages(schema_cache).fetch(V("11.25")).migrators()
    noops = {migrator.module.removeprefix("migrator_from_") for migrator in migrators if migrator.does_nothing}
    assert noops == {
        *("10_4_0_to_10_5_4", "10_5_4_to_10_5_5", "10_5_5_to_10_5_6", "10_5_6_to_10_6_0", "10_6_0_to_10_7_0"),
        *("11_4_0_to_11_5_0", "11_5_0_to_11_5_1", "11_6_0_to_11_6_1", "11_14_0_to_11_15_1", "11_17_0_to_11_17_1"),
        *("11_18_0_to_11_18_1", "11_18_1_to_11_19_0", "11_19_0_to_11_19_1", "11_19_1_to_11_20_0"),
        *("11_20_0_to_11_20_1", "11_20_1_to_11_20_2", "11_20_2_to_11_21_0", "11_21_0_to_11_22_0"),
        *("11_22_0_to_11_23_0", "11_24_0_to_11_24_1"),
    }
