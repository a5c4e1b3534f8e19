"""A real PostgreSQL server on loopback for the tests, gone when its ``with`` block ends."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.servers import NotStartedError, free_ports

USER = "acclimate"
# searched for in what is written: a secret must turn up nowhere
PASSWORD = "canary-of-postgresql-93c0ab"
# the account that Debian's package brings: the server does not run as root
_ACCOUNT = "postgres"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_INITDB = (f"--username={USER}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
# a test's data need not outlive the machine
_SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}


def what_is_missing() -> str | None:
    """What has to be installed before a server can be started and reached; None where nothing is missing."""
    if programs() is None:
        return "no PostgreSQL here: install the Debian package postgresql"
    try:
        import psycopg  # noqa: F401  # what SQLAlchemy takes for postgresql://
    except ImportError:
        return "no driver for PostgreSQL here: pip install psycopg[binary]"
    return None


def programs() -> Path | None:
    """Folder of ``initdb`` and ``postgres``, of the newest version that is installed."""
    packaged = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if packaged:
        return max(packaged, key=lambda path: [int(part) for part in re.findall(r"\d+", path.parent.name)])
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server with an empty database, its files in a temporary folder.

    Yields:
        The database as SQLAlchemy takes it, ``postgresql://USER:PASSWORD@127.0.0.1:PORT/postgres``.
    """
    folder = programs()
    assert folder is not None, what_is_missing()
    # not below pytest's folders, which nobody else may enter
    with tempfile.TemporaryDirectory(prefix="acclimate-postgresql-") as temporary:
        home = Path(temporary)
        secret, data, log = home / "password", home / "data", home / "server.log"
        secret.write_text(PASSWORD)
        account = _account(home, secret)
        made = subprocess.run(
            [str(folder / "initdb"), f"--pgdata={data}", f"--pwfile={secret}", *_INITDB],
            check=False,
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **account,
        )
        if made.returncode:
            raise NotStartedError(made.stdout[-3000:])
        (port,) = free_ports(1)
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [str(folder / "postgres"), "-D", str(data), f"--port={port}", *settings]
        uri = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
        with log.open("ab") as output:
            process = subprocess.Popen(command, cwd=home, stdout=output, stderr=subprocess.STDOUT, **account)
            try:
                _wait_for(uri, process, log)
                yield uri
            finally:
                _stop(process)


def _account(*owned: Path) -> dict[str, Any]:
    """Whom the programs run as: ourselves, or where that is root Debian's account, which is given the files."""
    if os.getuid():
        return {}
    account = pwd.getpwnam(_ACCOUNT)
    for path in owned:
        os.chown(path, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _wait_for(uri: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(uri).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise NotStartedError(log.read_text(errors="replace")[-3000:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it and the processes that it started: they end with it, whether it is asked to or killed."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
