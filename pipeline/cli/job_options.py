"""The parameters of a job as options of ``pipeline submit JOB``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.model.errors import PipelineError, UsageError
from pipeline.read.submit.environment import unpacked
from pipeline.read.submit.parameters import Parameter
from pipeline.read.submit.requirements import installed
from pipeline.read.submit.run_job import Manner, prepared
from pipeline.tables.libraries import Libraries

T = TypeVar("T")

sample_option = click.option(
    "--sample",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Share of networks, chosen by hash; the result is named JOB_sample.",
)
skip_option = click.option(
    "--skip-bad", is_flag=True, help="Skip and count contents on which the job's function over contents fails."
)
_requirements_option = click.option(
    "--requirements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A requirements file; pip installs what this installation lacks, for the driver and executors.",
)
_environment_option = click.option(
    "--environment",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A .tar.gz of venv-pack or conda-pack, whose Python executors run; with all that this package needs.",
)


def libraries_options(function: Callable[..., T]) -> Callable[..., T]:
    """Add ``--requirements`` and ``--environment``."""
    return _requirements_option(_environment_option(function))


def libraries_of(requirements: Path | None, environment: Path | None) -> Libraries | None:
    """The packages that a job brings, installed or unpacked; None if it brings none.

    Raises:
        BadRequirements, BadEnvironment: they are not to be had.
        ScratchFailed: there is no room for them.
        UsageError: both were given.
    """
    if requirements is not None and environment is not None:
        raise UsageError("give --requirements or --environment: an environment has all packages of its job")
    if requirements is not None:
        return installed(requirements)
    return None if environment is None else unpacked(environment)


def sampled(share: float | None) -> Fraction | None:
    """A share exactly as it was written."""
    return None if share is None else Fraction(str(share))


_PREFIX = "job_parameter_"


@dataclass(frozen=True, slots=True)
class _AskedJob:
    """What a command line says of its job: name and docstring, "" if it cannot be imported yet, and its parameters."""

    name: str = ""
    description: str = ""
    options: tuple[click.Option, ...] = ()


class JobCommand(click.Command):
    """A command with an argument ``job``, whose parameters become options. They stand behind its name, and only those
    that no option of the command itself is called. A job that brings libraries can be imported only when the command
    has them: it reads the options as words, and ``--help`` shows them if the job can be imported without.
    """

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - as they come
    ) -> click.Context:
        """A context that knows the job's parameters, or leaves them as words in their order."""
        asked = self._asked(args, parent)
        extra |= {"obj": asked or _AskedJob(), "ignore_unknown_options": asked is None}
        return super().make_context(info_name, args, parent, **extra)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own and the job's."""
        return [*super().get_params(ctx), *(ctx.obj.options if isinstance(ctx.obj, _AskedJob) else ())]

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The job's docstring as it stands, or the command's own help."""
        if not isinstance(ctx.obj, _AskedJob) or not ctx.obj.name:
            super().format_help_text(ctx, formatter)
            return
        formatter.write_paragraph()
        with formatter.indentation():
            for line in (ctx.obj.description or f"{ctx.obj.name} has no docstring.").splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}".rstrip() + "\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The job's parameters, then the command's own options."""
        asked = ctx.obj if isinstance(ctx.obj, _AskedJob) else _AskedJob()
        for title, options in (
            (f"Parameters of {asked.name}", asked.options),
            ("Options", [each for each in super().get_params(ctx) if isinstance(each, click.Option)]),
        ):
            records = [record for record in (option.get_help_record(ctx) for option in options) if record is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _asked(self, args: list[str], parent: click.Context | None) -> _AskedJob | None:
        """The job and its parameters; None if nobody can know them before its libraries are there."""
        blank = click.Context(self, parent=parent, resilient_parsing=True)
        parser = self.make_parser(blank)
        parser.ignore_unknown_options = True
        try:
            said = parser.parse_args(list(args))[0]
        except click.UsageError:
            return _AskedJob()  # click says what is wrong when it parses them in earnest
        job = said.get("job")
        if not isinstance(job, str) or job.startswith("-"):
            return _AskedJob()
        asks = bool({"-h", "--help"} & set(args))
        if not asks and (said.get("requirements") or said.get("environment")):
            return None
        try:
            found = prepared(job, None, Manner(py_files=tuple(map(Path, said.get("py_files", ())))))
        except PipelineError as error:
            if asks:
                raise click.UsageError(str(error)) from None
            return _AskedJob()  # the command says so itself, in the form that was asked for
        taken = {name for each in self.params for name in (*each.opts, *each.secondary_opts)}
        options = tuple(_option(each) for each in found.parameters.all() if each.option not in taken)
        return _AskedJob(found.name, found.description, options)


def _option(parameter: Parameter) -> click.Option:
    name = parameter.option.removeprefix("--")
    said = [parameter.description or "A parameter of the job"]
    if parameter.default is not None:
        said.append(f"default: {parameter.default}")
    if parameter.required:
        said.append("must be given")
    if parameter.many:
        said.append("may be repeated")
    return click.Option(
        [f"--{name}/--no-{name}" if parameter.is_flag else parameter.option, f"{_PREFIX}{parameter.name}"],
        help="; ".join(said),
        metavar=None if parameter.is_flag else parameter.kind,
        multiple=parameter.many,
        default=None,
    )


def words_of(options: dict[str, object], settings: Sequence[str], argv: Sequence[str]) -> tuple[str, ...]:
    """A job's arguments: of its options, of ``--set name=value``, and what follows after ``--``."""
    words: list[str] = []
    for key, value in options.items():
        if value is None or value == ():
            continue
        name = f"--{key.removeprefix(_PREFIX).replace('_', '-')}"
        for each in value if isinstance(value, tuple) else (value,):
            words.append(f"{name}={str(each).lower() if isinstance(each, bool) else each}")
    return (*words, *(f"--{setting}" for setting in settings), *argv)
