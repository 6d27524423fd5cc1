"""The quick check: every named file exists with its size and its checksum. No Spark."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from pipeline.model.layout import ARCHIVE, NIGHT_TAG, RESULTS, WAREHOUSE
from pipeline.model.tables import ALL, NAMESPACE
from pipeline.read.inventory.finding import Finding, Kind
from pipeline.read.inventory.ledger import Ledger, Recorded, add_recording, copies, read_ledger
from pipeline.read.inventory.loads import LoadFiles, check_documents, check_unpublished, read_loads, result_documents
from pipeline.read.inventory.named import NamedFile, TableFiles, read_table, table_folders
from pipeline.read.inventory.record import MOST_COPIED_BYTES, keeps_copy
from pipeline.storage.bytes import Hashed, hash_file, in_threads
from pipeline.storage.errors import FileMissing, StoredFileDamaged
from pipeline.storage.interface import Storage
from pipeline.storage.parquet import open_parquet_file
from pipeline.storage.paths import side_path

MAY_PASS = (Kind.FILE_MISSING, Kind.FILE_SIZE, Kind.VERSION_HINT)
"""Findings that may also arise if a run commits, or housekeeping deletes, during the check."""


@dataclass(slots=True)
class Inventory:
    """What must exist: the ledger, the tables as far as they can be read, the loads."""

    ledger: Ledger
    tables: dict[str, TableFiles]
    loads: list[LoadFiles]
    findings: list[Finding] = field(default_factory=list)

    @property
    def landed(self) -> dict[str, tuple[int, bytes]]:
        """Size and SHA-256 of files of published loads, from their manifests."""
        return {
            path: (said.size_bytes, bytes.fromhex(said.sha256))
            for load in self.loads
            if load.published
            for path, said, _ in load.landed()
        }

    def nights_of(self, file: NamedFile) -> tuple[str, ...]:
        """Nights that need a file."""
        return self.tables[file.table].nights_of(file.path)


@dataclass(slots=True)
class Checked:
    """The outcome of one part of the check."""

    findings: list[Finding] = field(default_factory=list)
    first_seen: list[Recorded] = field(default_factory=list)
    files: int = 0
    size_bytes: int = 0


def take_inventory(storage: Storage) -> Inventory:
    """Read all metadata, damaged files from their copies, so that the files that they name are checked, too."""
    inventory = Inventory(read_ledger(storage), {}, read_loads(storage))
    inventory.findings += inventory.ledger.findings
    folders = table_folders(storage)
    for table_ in ALL:
        if folders and f"code.{table_.name}" not in folders:
            lost = f"{WAREHOUSE}/{NAMESPACE}/{table_.name}"
            inventory.findings.append(Finding(Kind.FILE_MISSING, "the table is gone", lost, f"code.{table_.name}"))
    for name, folder in folders.items():
        table = read_table(storage, name, folder)
        if table.findings:
            problems = table.findings
            table = read_table(storage, name, folder, partial(_read_or_copy, storage))
            table.findings = problems
        inventory.tables[name] = table
        inventory.findings += [replace(f, nights=table.nights_of(f.path)) for f in table.findings]
    inventory.findings += _nights(inventory.tables)
    return inventory


def _read_or_copy(storage: Storage, path: str) -> bytes:
    """The checked copy of a file if there is one, otherwise the file."""
    copy = copies(storage, [path]).get(path)
    return storage.read(path) if copy is None else copy


def _nights(tables: dict[str, TableFiles]) -> Iterator[Finding]:
    """Every night on ``origins`` must be on every table of the archive."""
    known = tables.get("code.origins")
    nights = [tag for tag in known.tags if tag.startswith(NIGHT_TAG)] if known is not None else []
    for name, table in tables.items():
        if name not in {f"code.{of_nights.name}" for of_nights in ALL} or not table.snapshots:
            continue
        for tag in nights:
            if tag not in table.tags:
                night = tag.removeprefix(NIGHT_TAG)
                yield Finding(
                    Kind.NIGHT_INCOMPLETE, f"the table lacks the tag {tag}", table.metadata, name, nights=(night,)
                )


def check_loads(storage: Storage, inventory: Inventory) -> Checked:
    """Parse ``archive.json``, ``runs/`` and ``results/``, and compare them with each other and with the ledger."""
    done = Checked(list(check_documents(storage)))
    for load in inventory.loads:
        done.findings += load.findings
        if load.finished:
            _hash_documents(storage, inventory.ledger, load.paths, done)
        elif not load.published:
            done.findings += check_unpublished(storage, load)
    _hash_documents(storage, inventory.ledger, [ARCHIVE], done)
    results = result_documents(storage)
    _hash_documents(storage, inventory.ledger, results, done, replaced_by_reruns=True)
    known = {*results, *(path for load in inventory.loads for path in load.paths)}
    for path in inventory.ledger.entries:
        if path not in known and (path.startswith(f"{RESULTS}/") or _is_of_a_load(path, inventory)):
            done.findings.append(Finding(Kind.FILE_MISSING, "the file is gone", path))
    return done


def _is_of_a_load(path: str, inventory: Inventory) -> bool:
    """Whether a file belongs to a load that exists. Housekeeping deletes whole plans of past nights."""
    load = next((load for load in inventory.loads if path.startswith(f"{load.load.root}/")), None)
    if load is None:
        return False
    plan = f"{load.load.root}/plan/"
    return not path.startswith(plan) or any(other.startswith(plan) for other in load.paths)


def _hash_documents(
    storage: Storage, ledger: Ledger, paths: Iterable[str], done: Checked, *, replaced_by_reruns: bool = False
) -> None:
    for found in in_threads(partial(hash_file, storage, with_side=True), paths):
        if found is None:
            continue
        done.files += 1
        done.size_bytes += found.size_bytes
        known = ledger.entries.get(found.path)
        same = known == (found.size_bytes, found.sha256)
        if known is not None and not same and replaced_by_reruns and _changed_since(storage, found.path, ledger):
            known = None
        done.findings += _compared(found, Finding(Kind.FILE_CHECKSUM, "", found.path), known)
        if known is None and found.side is not False:
            done.first_seen += _first_seen(storage, found, copy=True)


def _changed_since(storage: Storage, path: str, ledger: Ledger) -> bool:
    """Whether a file was rewritten since the last recording. Bit rot leaves its time unchanged."""
    entry, last = storage.stat(path), storage.stat(ledger.names[-1]) if ledger.names else None
    return entry is not None and last is not None and entry.modified_at > last.modified_at


def check_files(
    storage: Storage, inventory: Inventory, files: Iterable[NamedFile], landed: dict[str, tuple[int, bytes]]
) -> Checked:
    """Read files of tables to their end and compare them with the recorded sizes and checksums."""
    done = Checked()
    listed = list(files)
    for file, found in zip(
        listed, in_threads(lambda f: hash_file(storage, f.path, with_side=True), listed), strict=True
    ):
        blank = Finding(Kind.FILE_MISSING, "the file is gone", file.path, file.table, file.bucket)
        if found is None:
            done.findings.append(blank)
            continue
        done.files += 1
        done.size_bytes += found.size_bytes
        known = inventory.ledger.entries.get(file.path) or landed.get(file.path)
        if file.size_bytes is not None and file.size_bytes != found.size_bytes:
            problem = f"{found.size_bytes} bytes instead of {file.size_bytes}"
            done.findings.append(replace(blank, kind=Kind.FILE_SIZE, problem=problem))
            continue
        done.findings += _compared(found, blank, known)
        if file.path not in inventory.ledger.entries and found.side is not False:
            problem_ = _cannot_open(storage, file.path) if known is None else ""
            if problem_:
                done.findings.append(replace(blank, kind=Kind.FILE_UNREADABLE, problem=problem_))
            elif known in (None, (found.size_bytes, found.sha256)):
                done.first_seen += _first_seen(storage, found, copy=keeps_copy(file))
    done.findings = [replace(f, nights=inventory.tables[f.table].nights_of(f.path)) for f in done.findings]
    return done


def _compared(found: Hashed, blank: Finding, known: tuple[int, bytes] | None) -> Iterator[Finding]:
    if known is not None and known != (found.size_bytes, found.sha256):
        problem = f"its SHA-256 is {found.sha256.hex()[:16]}…, recorded was {known[1].hex()[:16]}…"
        if known[0] != found.size_bytes:
            problem = f"{found.size_bytes} bytes instead of {known[0]}"
        yield replace(blank, kind=Kind.FILE_CHECKSUM, problem=problem)
    elif found.side is False and known is not None:
        problem = "the file is intact, but Hadoop's checksum file beside it is wrong, so readers refuse it"
        yield replace(blank, kind=Kind.SIDE_CHECKSUM, problem=problem, path=side_path(found.path))
    elif found.side is False:
        problem = "it and Hadoop's checksum file beside it disagree"
        yield replace(blank, kind=Kind.FILE_CHECKSUM, problem=problem)


def _cannot_open(storage: Storage, path: str) -> str:
    """Why a file without a record is no valid data file; "" if it is one."""
    if not path.endswith(".parquet"):
        return ""
    try:
        with open_parquet_file(storage, path):
            return ""
    except StoredFileDamaged as error:
        return error.problem


def _first_seen(storage: Storage, found: Hashed, *, copy: bool) -> Iterator[Recorded]:
    try:
        data = storage.read(found.path) if copy and found.size_bytes <= MOST_COPIED_BYTES else None
    except FileMissing:
        return
    yield Recorded(found.path, found.size_bytes, found.sha256, data)


def still_true(storage: Storage, inventory: Inventory, findings: Collection[Finding]) -> list[Finding]:
    """Findings about files that are still named: housekeeping may have run during the check."""
    fresh: dict[str, set[str]] = {}
    hints: set[str] = set()

    def named(finding: Finding) -> bool:
        if finding.kind not in MAY_PASS or finding.table not in inventory.tables:
            return True
        if finding.table not in fresh:
            table = read_table(storage, finding.table, inventory.tables[finding.table].folder)
            hints.update(f.path for f in table.findings if f.kind is Kind.VERSION_HINT)
            table.findings = [f for f in table.findings if f.kind is not Kind.VERSION_HINT]
            fresh[finding.table] = set() if table.findings else {file.path for file in table.files()}
            if table.findings:
                return True
        if finding.kind is Kind.VERSION_HINT:
            return finding.path in hints
        return not fresh[finding.table] or finding.path in fresh[finding.table]

    return [finding for finding in findings if named(finding)]


def keep_first_seen(storage: Storage, checked: Iterable[Checked]) -> int:
    """Record files that had no entry; return their number."""
    rows = [row for part in checked for row in part.first_seen]
    if rows:
        add_recording(storage, rows)
    return len(rows)
