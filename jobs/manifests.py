"""Dependencies that manifests declare: Python's parsers and ``packaging`` read them, no build tool runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from jobs.formats import ini, toml, xml
from pipeline.model.redact import without_secrets
from pipeline.model.text import valid_text

MOST_BYTES: Final = 1 << 20
"""Size up to which a manifest is read."""

Ecosystem = Literal["pypi", "npm", "cargo", "golang", "maven", "composer", "nuget", "julia", "vcpkg"]
"""As in package URLs."""

RUNTIME, DEV, BUILD, OPTIONAL = "runtime", "dev", "build", "optional"


class Unreadable(Exception):
    """The bytes are no manifest of their kind. The message shows none of them."""


class Dependency(NamedTuple):
    """What a manifest asks for.

    Attributes:
        requirement: the versions as written, None if any will do or if it is an address.
        scope: runtime, dev, build or optional.
    """

    name: str
    requirement: str | None
    scope: str


_Parser = Callable[[str], Iterable[Dependency]]


def ecosystem_of(name: str) -> Ecosystem | None:
    """The ecosystem of a manifest by its file name; None if it is no manifest."""
    found = _kind(name)
    return found[0] if found else None


def dependencies_in(name: str, content: bytes) -> list[Dependency]:
    """The dependencies of a manifest, sorted, each once per scope.

    Args:
        name: file name; it has an ecosystem.

    Raises:
        Unreadable: it cannot be parsed.
    """
    found = _kind(name)
    if found is None:
        raise Unreadable("not the name of a manifest")
    try:
        wanted = {Dependency(valid_text(each.name), *each[1:]) for each in found[1](content.decode("utf-8-sig"))}
    except (ValueError, SyntaxError, RecursionError) as error:
        raise Unreadable(f"not readable: {type(error).__name__}") from None
    return sorted(wanted, key=lambda each: (each.name, each.scope, each.requirement or ""))


def _kind(name: str) -> tuple[Ecosystem, _Parser] | None:
    return next(((ecosystem, parser) for form, ecosystem, parser in _KINDS if re.fullmatch(form, name)), None)


def _requirements(text: str) -> Iterator[Dependency]:
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        wanted = re.split(r"(?:^|\s)#|\s--", line, maxsplit=1)[0].strip()
        if wanted and not wanted.startswith("-"):
            yield from _python([wanted], RUNTIME)


def _python(texts: object, scope: str) -> Iterator[Dependency]:
    """Requirements; those of another form (addresses, paths, groups) are left out."""
    for text in texts if isinstance(texts, list) else []:
        if isinstance(text, str):
            try:
                wanted = Requirement(text)
            except InvalidRequirement:
                continue
            yield Dependency(canonicalize_name(wanted.name), str(wanted.specifier) or None, scope)


def _pyproject(text: str) -> Iterator[Dependency]:
    whole = toml(text)
    project = _table(whole.get("project"))
    yield from _python(project.get("dependencies"), RUNTIME)
    for wanted in _table(project.get("optional-dependencies")).values():
        yield from _python(wanted, OPTIONAL)
    for wanted in _table(whole.get("dependency-groups")).values():
        yield from _python(wanted, DEV)
    yield from _python(_table(whole.get("build-system")).get("requires"), BUILD)
    poetry = _table(_table(whole.get("tool")).get("poetry"))
    groups = [(group, DEV) for group in _table(poetry.get("group")).values()]
    for group, scope in ((poetry, RUNTIME), ({"dependencies": poetry.get("dev-dependencies")}, DEV), *groups):
        for name, wanted in _table(_table(group).get("dependencies")).items():
            if name != "python":
                yield Dependency(canonicalize_name(name), _version(wanted), scope)


def _setup_cfg(text: str) -> Iterator[Dependency]:
    sections = ini(text)
    for section, scope in (("options", RUNTIME), ("options.extras_require", OPTIONAL)):
        if section in sections:
            for key, value in {**sections.get("DEFAULT", {}), **sections[section]}.items():
                if scope == OPTIONAL or key == "install_requires":
                    yield from _python(value.splitlines() if "\n" in value else value.split(";"), scope)


def _package_json(text: str) -> Iterator[Dependency]:
    scopes = {
        "dependencies": RUNTIME,
        "peerDependencies": RUNTIME,
        "devDependencies": DEV,
        "optionalDependencies": OPTIONAL,
    }
    whole = _table(json.loads(text))
    for key, scope in scopes.items():
        for name, wanted in _table(whole.get(key)).items():
            yield Dependency(name, _version(wanted), scope)


def _cargo(text: str) -> Iterator[Dependency]:
    whole = toml(text)
    scopes = {"dependencies": RUNTIME, "dev-dependencies": DEV, "build-dependencies": BUILD}
    for part in (whole, _table(whole.get("workspace")), *_table(whole.get("target")).values()):
        for key, scope in scopes.items():
            for alias, wanted in _table(_table(part).get(key)).items():
                name = _table(wanted).get("package")
                is_optional = _table(wanted).get("optional") is True
                yield Dependency(
                    name if isinstance(name, str) else alias, _version(wanted), OPTIONAL if is_optional else scope
                )


def _go_mod(text: str) -> Iterator[Dependency]:
    in_block = False
    for line in text.splitlines():
        words = [word.strip('"`') for word in line.partition("//")[0].split()]
        if words[:2] == ["require", "("] or words == ["require("]:
            in_block = True
        elif words == [")"]:
            in_block = False
        elif in_block and len(words) == 2:
            yield Dependency(words[0], words[1], RUNTIME)
        elif len(words) == 3 and words[0] == "require":
            yield Dependency(words[1], words[2], RUNTIME)


def _pom(text: str) -> Iterator[Dependency]:
    for wanted in xml(text).iter("dependency"):
        group, artifact = wanted.findtext("groupId"), wanted.findtext("artifactId")
        if group and artifact:
            is_optional = wanted.findtext("optional", "").strip() == "true"
            scope = OPTIONAL if is_optional else DEV if wanted.findtext("scope", "").strip() == "test" else RUNTIME
            yield Dependency(f"{group.strip()}:{artifact.strip()}", _version(wanted.findtext("version")), scope)


def _nuget(text: str) -> Iterator[Dependency]:
    for element in xml(text).iter():
        if element.tag in ("PackageReference", "PackageVersion"):
            name, version = element.get("Include"), element.get("Version") or element.findtext("Version")
        elif element.tag == "package":
            name, version = element.get("id"), element.get("version")
        else:
            continue
        if name:
            yield Dependency(name.lower(), _version(version), RUNTIME)


def _composer(text: str) -> Iterator[Dependency]:
    whole = _table(json.loads(text))
    for key, scope in (("require", RUNTIME), ("require-dev", DEV)):
        for name, wanted in _table(whole.get(key)).items():
            if "/" in name:  # the others are PHP itself and its extensions
                yield Dependency(name.lower(), _version(wanted), scope)


def _julia(text: str) -> Iterator[Dependency]:
    whole = toml(text)
    compat = _table(whole.get("compat"))
    for key, scope in (("deps", RUNTIME), ("weakdeps", OPTIONAL), ("extras", DEV)):
        for name in _table(whole.get(key)):
            yield Dependency(name, _version(compat.get(name)), scope)


def _vcpkg(text: str) -> Iterator[Dependency]:
    wanted = _table(json.loads(text)).get("dependencies")
    for each in wanted if isinstance(wanted, list) else []:
        name = each if isinstance(each, str) else _table(each).get("name")
        if isinstance(name, str):
            minimum = _table(each).get("version>=")
            scope = BUILD if _table(each).get("host") is True else RUNTIME
            yield Dependency(name, f">={minimum}" if isinstance(minimum, str) else None, scope)


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _version(wanted: object) -> str | None:
    """The versions of a text, or of a table with the key version."""
    text = _table(wanted).get("version") if isinstance(wanted, dict) else wanted
    if not isinstance(text, str) or not text.strip() or "://" in text:
        return None
    return without_secrets(valid_text(text.strip()))


_KINDS: Final[tuple[tuple[str, Ecosystem, _Parser], ...]] = (
    (r"requirements[\w.-]{0,60}\.(?:txt|in)", "pypi", _requirements),
    (r"pyproject\.toml", "pypi", _pyproject),
    (r"setup\.cfg", "pypi", _setup_cfg),
    (r"package\.json", "npm", _package_json),
    (r"Cargo\.toml", "cargo", _cargo),
    (r"go\.mod", "golang", _go_mod),
    (r"pom\.xml", "maven", _pom),
    (r"composer\.json", "composer", _composer),
    (r"[^\n]{1,200}\.(?:cs|fs|vb)proj|packages\.config|Directory\.Packages\.props", "nuget", _nuget),
    (r"Project\.toml", "julia", _julia),
    (r"vcpkg\.json", "vcpkg", _vcpkg),
)
"""Forms of file names, their ecosystems, and parsers."""


def names_of(ecosystems: Collection[Ecosystem] = ()) -> str:
    """A regular expression, for Python and Java, of the names of manifests of some ecosystems; of all without any."""
    forms = (form for form, ecosystem, _ in _KINDS if not ecosystems or ecosystem in ecosystems)
    return f"^(?:{'|'.join(forms)})$"
