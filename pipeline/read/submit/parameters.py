"""The parameters of a job: what ``main`` takes beside the archive, checked before Spark starts.

::

    def main(
        archive: Archive,
        language: str = "Python",
        top: Annotated[int, Field(ge=1, description="rows to keep")] = 10,
    ) -> DataFrame: ...

A ``main(archive, argv)`` gets its words unread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError, create_model
from pydantic.fields import FieldInfo

from pipeline.model.errors import UsageError

ARGV = "argv"
"""The second parameter of a ``main`` that reads its words itself."""

_MANY = (list, tuple, set, frozenset)


class BadArguments(UsageError):
    """A job was given what it does not take."""

    def __init__(self, job: str, problems: Sequence[str], takes: Sequence[str]) -> None:
        super().__init__(job, tuple(problems), tuple(takes))
        self.job, self.problems, self.takes = job, tuple(problems), tuple(takes)

    def __str__(self) -> str:
        takes = f"it takes {', '.join(self.takes)}" if self.takes else "it takes no parameters"
        return f"job {self.job}: {'; '.join(self.problems)}; {takes}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a job, for people.

    Attributes:
        kind: what a value is, such as INT or full|short.
        default: as text; None if it must be given, or if there is nothing to show.
        many: it may be given several times.
        is_flag: it is given without a value.
    """

    name: str
    kind: str
    default: str | None
    required: bool
    description: str
    many: bool
    is_flag: bool

    @property
    def option(self) -> str:
        """How it is given on the command line."""
        return f"--{self.name.replace('_', '-')}"


class Parameters:
    """What a job's ``main`` takes beside the archive.

    Args:
        main: the function; its module is found in ``sys.modules``.

    Raises:
        TypeError: it takes no archive, or parameters that have no names, or whose types are unknown.
    """

    def __init__(self, job: str, main: Callable[..., object]) -> None:
        self.job = job
        taken = [*inspect.signature(main).parameters.values()]
        if not taken:
            raise TypeError("main() takes no archive")
        others = taken[1:]
        self.takes_words = bool(others) and others[0].name == ARGV
        self._model: type[BaseModel] | None = None if self.takes_words else _model(main, others)

    def all(self) -> list[Parameter]:
        """The parameters, in their order; none for a ``main`` that reads words."""
        fields = {} if self._model is None else self._model.model_fields
        return [_parameter(name, field) for name, field in fields.items()]

    def arguments(self, words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments of ``main`` after the archive.

        Args:
            words: ``--name value``, ``--name=value`` or ``name=value``, each name with dashes or underscores, and
                ``--name`` or ``--no-name`` for flags.

        Raises:
            BadArguments: a name is unknown, a value is wrong, or one is missing.
        """
        if self._model is None:
            return [list(words)], {}
        known: dict[str, Parameter] = {each.name: each for each in self.all()}
        values, problems = _read(words, known)
        try:
            made = self._model.model_validate(values)
        except ValidationError as error:
            problems += [_sentence(each["loc"], each["type"], each["msg"]) for each in error.errors()]
        if problems:
            raise BadArguments(self.job, problems, [f"{each.option} {each.kind}".rstrip() for each in known.values()])
        return [], {name: getattr(made, name) for name in known}


def _model(main: Callable[..., object], parameters: Sequence[inspect.Parameter]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for each in parameters:
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) or each.name.startswith("_"):
            raise TypeError(f"main() takes {each}, which has no name to give it by")
        default = ... if each.default is each.empty else each.default
        unsaid = str if default in (..., None) else type(default)
        fields[each.name] = (unsaid if each.annotation is each.empty else each.annotation, default)
    settings = ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=False)
    try:
        model = create_model("Parameters", __config__=settings, __module__=main.__module__, **fields)
        model.model_rebuild()
    except (PydanticUserError, NameError) as error:
        raise TypeError(f"the parameters of main(): {error}") from None
    return model


def _parameter(name: str, field: FieldInfo) -> Parameter:
    type_ = field.annotation
    options = [option for option in get_args(type_) if option is not type(None)]
    if type(None) in get_args(type_) and len(options) == 1:
        type_ = options[0]
    many = get_origin(type_) in _MANY
    inner = get_args(type_)[0] if many and get_args(type_) else type_
    is_choice = get_origin(inner) is Literal
    kind = "|".join(map(str, get_args(inner))) if is_choice else getattr(inner, "__name__", "value").upper()
    is_flag = inner is bool and not many
    shown = None if field.is_required() or field.default in (None, "", (), []) else str(field.default)
    return Parameter(name, "" if is_flag else kind, shown, field.is_required(), field.description or "", many, is_flag)


def _read(words: Sequence[str], known: dict[str, Parameter]) -> tuple[dict[str, Any], list[str]]:
    """Values by name as texts, and what could not be read."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        given, equals, value = word.partition("=")
        name = given.removeprefix("--").replace("-", "_")
        off = not equals and word.startswith("--no-") and name not in known
        parameter = known.get(name.removeprefix("no_") if off else name)
        if parameter is None or (off and not parameter.is_flag) or not (equals or word.startswith("--")):
            problems.append(f"there is no parameter {given}")
            if not equals and word.startswith("--") and waiting and not waiting[0].startswith("--"):
                waiting.pop(0)  # its value, which may be a secret
        elif not equals and not parameter.is_flag and not waiting:
            problems.append(f"{given} has no value")
        else:
            if not equals:
                value = str(not off).lower() if parameter.is_flag else waiting.pop(0)
            if not parameter.many and parameter.name in values:
                problems.append(f"{given} is given twice")
            if parameter.many:
                values.setdefault(parameter.name, []).append(value)
            else:
                values[parameter.name] = value
    return values, problems


def _sentence(place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(place[0]).replace("_", "-") if place else "parameters"
    return f"--{name} must be given" if kind == "missing" else f"--{name}: {message}"
