"""Opens run files: to write a new one, to add to one, to read one that may be growing, killed, foreign or hostile."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from gradiometer.errors import NewerRunFileError, NotARunFileError, RunFileError
from gradiometer.recording.distrust import (
    MAX_VALUE_BYTES,
    bounded_in_time,
    refuse_foreign_journal,
    refuse_foreign_objects,
)
from gradiometer.recording.migrations import (
    APPLICATION_ID,
    MIGRATIONS,
    SCHEMA_VERSION,
    create_tables,
    expected_columns,
    migrate,
    version_of,
)

BUSY_SECONDS = 5.0
"""How long to wait for another process that holds the file."""

NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs"),
        *("fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "wekafs"),
    }
)
"""Names in the system's table of mounts. SQLite's write-ahead log needs memory shared between processes, which a
network file system does not give: https://www.sqlite.org/wal.html, section 1."""

COMPANION_SUFFIXES = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database, behind its name."""

SQLITE_MAGIC = b"SQLite format 3\x00"
"""First bytes of every SQLite database."""


def is_sqlite(path: Path) -> bool:
    """Whether a path is a file that begins as an SQLite database does; one that can't be read does not."""
    try:
        if not path.is_file():  # opening a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def is_network_folder(folder: Path, mounts: str) -> bool:
    """Whether a folder lies on a network file system.

    Args:
        folder: An absolute path.
        mounts: Text of `/proc/mounts`; empty where the system has none.

    Example:
        >>> mounts = "/dev/sda / ext4 rw 0 0" + chr(10) + "server:/home /home nfs4 rw 0 0"
        >>> is_network_folder(Path("/home/ann/runs"), mounts), is_network_folder(Path("/tmp"), mounts)
        (True, False)
    """
    deepest, kind = "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        mount_point = words[1].replace("\\040", " ")
        if folder.is_relative_to(mount_point) and len(mount_point) >= len(deepest):
            deepest, kind = mount_point, words[2]
    return kind in NETWORK_FILE_SYSTEMS


def read_mounts() -> str:
    """The system's table of mounts; empty where there is none."""
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def open_in_memory() -> sqlite3.Connection:
    """A run file that lives in memory: the same tables, no file."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    create_tables(connection)
    return connection


def open_for_writing(
    path: Path, *, max_bytes: int, is_resumed: bool = False, busy_seconds: float = BUSY_SECONDS, mounts: str = ""
) -> sqlite3.Connection:
    """Create a run file, or open one to add to it.

    Args:
        path: Where; its folder is created. An empty file there counts as none.
        max_bytes: Bound of the file, from which the write-ahead log's own bound follows.
        is_resumed: Add to the run file that is there; where none is, it is created.
        busy_seconds: How long to wait for another process that holds the file.
        mounts: Text of `/proc/mounts`: on a network file system there is no write-ahead log.

    Returns:
        A connection in autocommit mode that any thread may use.

    Raises:
        RunFileError: Something else is there, or a run file while `is_resumed` is false.
        OSError, sqlite3.Error: The file can't be created.
    """
    is_there = _check_vacancy(path, is_resumed=is_resumed)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        if is_there:
            migrate(connection)
        else:
            create_tables(connection)
        _choose_journal(connection, max_bytes, is_network=is_network_folder(path.parent.absolute(), mounts))
    except BaseException:
        connection.close()
        raise
    return connection


def _check_vacancy(path: Path, *, is_resumed: bool) -> bool:
    """Whether a run file is there to be added to; raise where something is in the way."""
    if not os.path.lexists(path) or (path.is_file() and path.stat().st_size == 0):
        return False
    with opened_for_reading(path):
        if not is_resumed:
            raise RunFileError(f"There is a run file at {path} already: delete it, or name another one with --file.")
    return True


def _choose_journal(connection: sqlite3.Connection, max_bytes: int, *, is_network: bool) -> None:
    """Use a write-ahead log where it works, a rollback journal elsewhere."""
    if is_network:
        connection.execute("PRAGMA journal_mode = DELETE")
        return
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("SELECT count(*) FROM fact").fetchone()
    except sqlite3.OperationalError:
        connection.execute("PRAGMA journal_mode = DELETE")
    # A commit survives the death of the process without a sync; a power cut may cost the last ones, never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    log_page_count = min(1000, max(16, max_bytes // 4096 // 20))
    connection.execute(f"PRAGMA wal_autocheckpoint = {log_page_count}")
    connection.execute(f"PRAGMA journal_size_limit = {log_page_count * 4096}")


def fold_companions(connection: sqlite3.Connection, wait_seconds: float = 2.0) -> None:
    """Make one file of a run file and its write-ahead log, which a read-only folder can then hold.

    Args:
        connection: The writer's connection, outside of any transaction.
        wait_seconds: How long to wait for readers; where one stays, the log is left to the last one to close.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)


@contextmanager
def opened_for_reading(path: Path, migrations: Mapping[int, str] = MIGRATIONS) -> Iterator[sqlite3.Connection]:
    """Open a run file read-only, checked to be ours; an older one is brought to today's version in memory.

    Args:
        path: The file.
        migrations: Steps for an older file.

    Yields:
        A connection to tables of today's version.

    Raises:
        NotARunFileError: The file is something else, or damaged.
        NewerRunFileError: A later version wrote it.
        RunFileError: It is not there, not readable, or held by another program.
    """
    check_path(path)
    with ExitStack() as stack:
        try:
            connection = _connect(path, stack)
            version = version_of(connection)
            if version > SCHEMA_VERSION:
                raise NewerRunFileError(
                    f"{path} has run-file version {version}, this gradiometer reads up to {SCHEMA_VERSION}: "
                    "update gradiometer (pip install -U gradiometer)."
                )
            refuse_foreign_objects(connection, path)
            if version < SCHEMA_VERSION:
                connection = _in_memory(connection, stack)
                migrate(connection, migrations)
            _require_columns(connection, path)
        except sqlite3.DatabaseError as error:
            raise explain_database_error(error, path) from error
        except UnicodeDecodeError as error:
            raise NotARunFileError(f"{path} is damaged (its list of tables is no text): copy it again.") from error
        yield connection


def check_path(path: Path) -> None:
    """Raise where a path leads to no file that could be a run file.

    Raises:
        NotARunFileError: A folder, a pipe, an empty file, a file beside which lies another program's journal.
        RunFileError: Nothing is there, or it can't be looked at.
    """
    try:
        if not path.exists():
            raise RunFileError(f"There is no file {path}: name a run file; 'gradiometer runs' lists them.")
        if path.is_dir():
            raise NotARunFileError(f"{path} is a folder: name a run file in it.")
        if not path.is_file():
            raise NotARunFileError(f"{path} is not an ordinary file, so it is no run file.")
        if path.stat().st_size == 0:
            raise NotARunFileError(f"{path} is empty: nothing had been recorded when its run ended; record it again.")
        refuse_foreign_journal(path)
    except (OSError, ValueError) as error:
        raise RunFileError(f"{path} can't be opened ({error}): check the name and its permissions.") from error


def explain_database_error(error: sqlite3.Error, path: Path) -> RunFileError:
    """Say in a sentence what SQLite's error means for a run file that is being read."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name == "SQLITE_INTERRUPT":
        return NotARunFileError(f"{path} takes longer to read than any run file: copy it again, or record it again.")
    if name == "SQLITE_NOTADB":
        return NotARunFileError(f"{path} is not a run file (it is no SQLite database): name a file that 'run' wrote.")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return RunFileError(f"{path} is held by another program: close that, or try again in a moment.")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_READONLY", "SQLITE_AUTH")):
        return RunFileError(f"{path} can't be opened ({error}): check its permissions.")
    return NotARunFileError(f"{path} is damaged ({error}): copy it again from where it came from, or record it again.")


def _connect(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """Connect read-only; where that can't be, to a copy.

    The copy is for a killed process's file in a folder that can't be written: SQLite then has no place for what it
    needs to read a write-ahead log or to roll back a journal.
    """
    attempt_count = 3
    for attempt in range(attempt_count):
        try:
            return _connect_to(path, "ro", path, stack)
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")):
                raise
            # A writer that is just folding its log into the file is through in a moment.
            time.sleep(0.05 * (attempt + 1))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gradiometer-")))
    try:
        for suffix in ("", *COMPANION_SUFFIXES):
            companion = path.with_name(path.name + suffix)
            if companion.is_file() and suffix != "-shm":  # memory shared with the killed process: SQLite makes its own
                shutil.copyfile(companion, folder / companion.name)
    except OSError as error:
        raise RunFileError(f"{path} can't be opened ({error.strerror}): check its permissions.") from error
    return _connect_to(folder / path.name, "rw", path, stack)


def _connect_to(path: Path, mode: str, named_path: Path, stack: ExitStack) -> sqlite3.Connection:
    """Connect and make sure that the file is ours; nothing in it is trusted."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        found = _application_id(connection)
        connection.execute("PRAGMA query_only = ON")
        if found != APPLICATION_ID:
            raise NotARunFileError(f"{named_path} is not a run file (another program's SQLite database).")
    except BaseException:
        connection.close()
        raise
    stack.enter_context(closing(connection))
    stack.enter_context(bounded_in_time(connection))
    return connection


def _application_id(connection: sqlite3.Connection) -> int:
    """Mark that a program set in its file, also where the file's end is missing."""
    try:
        return int(connection.execute("PRAGMA application_id").fetchone()[0])
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorname", "") != "SQLITE_CORRUPT":
            raise
    # SQLite opens a truncated file only for those who might mend it; what is left of it is read, and said to be so.
    connection.execute("PRAGMA writable_schema = ON")
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _require_columns(connection: sqlite3.Connection, path: Path) -> None:
    for table, columns in expected_columns().items():
        missing = columns - {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing:
            raise NotARunFileError(f"{path} is damaged: its table {table!r} lacks {', '.join(sorted(missing))}.")


def _in_memory(connection: sqlite3.Connection, stack: ExitStack) -> sqlite3.Connection:
    """Copy a database into memory, where it can be migrated while its file stays as it is."""
    copy = stack.enter_context(closing(sqlite3.connect(":memory:", isolation_level=None)))
    stack.enter_context(bounded_in_time(copy))
    copy.execute("PRAGMA trusted_schema = OFF")
    connection.backup(copy)
    return copy
