"""Commands of one workflow that share the cost of starting: libraries are imported once, and every command is a fork.

The first `ddecli` command of a workflow starts a server that waits beside it. Whatever a command imported, the server
imports as well, and each command that follows is a fork of it, with the output, environment, folder and exit code of
the command that was typed. A fork has a state of its own: nothing that one command does reaches the next, and one that
fails or is killed takes no other with it. The server ends with the workflow, whose machine and process number are in
DDECLI_WORKFLOW (as `host:number`); without it there is none.

It only ever saves time. Where it cannot be had (another machine of a cluster, a container, a system without fork) the
command is run as it stands.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import hashlib
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddecli.core.imports import importing

WORKFLOW = "DDECLI_WORKFLOW"
"""Environment variable: machine and process number of the workflow that a command belongs to."""
SERVER = "from ddecli.workflow.forkserver import serve; serve()"
OF_ONE_JOB = {"CUDA_VISIBLE_DEVICES", "_", "SHLVL", "PWD", "OLDPWD"}
"""What may differ between commands of one server: nothing that libraries read when they are imported."""
STARTING = 20.0
"""Seconds that a command waits for a new server to listen."""
IDLE = 600.0
"""Seconds without a command after which a server ends in any case."""
LONGEST_PATH = 100
"""Bytes of a socket's path that every system takes."""
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def this_workflow() -> str:
    """What DDECLI_WORKFLOW is in the commands of a workflow that this process runs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def run_in_fork(words: Sequence[str]) -> int | None:
    """Run a command of a workflow in a fork of its server, and wait for it.

    Args:
        words: of the command, with the program's name.

    Returns:
        Its exit code; None where there can be no server, and the command has to be run as it stands.
    """
    connection = _connect()
    if connection is None:
        return None
    with connection:
        return _follow(connection, words)


def _connect() -> socket.socket | None:
    """The server of this workflow, started if there is none; None where there can be none."""
    host, _, number = os.environ.get(WORKFLOW, "").rpartition(":")
    if host != socket.gethostname() or not number.isdecimal() or not _alive(int(number)):
        return None
    if sys.platform == "darwin" or not hasattr(os, "fork") or "RANK" in os.environ:
        return None  # Apple's libraries do not outlive a fork; processes that were launched together stay as they are
    if None in (sys.stdin, sys.stdout, sys.stderr):
        return None  # one is closed, and a fork is given all three
    try:
        path = Path(tempfile.gettempdir()) / f"ddecli-{os.getuid()}-{number}" / _environment()
        if len(os.fsencode(path)) > LONGEST_PATH:
            return None
        _make_private(path.parent)
        return _listening(path) or _started(path, int(number))
    except OSError:
        return None


def _make_private(folder: Path) -> None:
    """Make the folder of the sockets of a workflow, that nobody else can reach into."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")


def _environment() -> str:
    """What has to be the same for two commands to be forks of one server: the program, threads, paths, switches."""
    kept = sorted((name, value) for name, value in os.environ.items() if name not in OF_ONE_JOB)
    return hashlib.sha256(json.dumps([sys.executable, __file__, kept]).encode()).hexdigest()[:16]


def _listening(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    return connection


def _started(path: Path, workflow: int) -> socket.socket | None:
    """Start the server, unless another command just did, and wait until it listens."""
    from ddecli.core.console import LIBRARY_NOTES
    from ddecli.core.locks import take

    with path.with_suffix(".lock").open("w") as lock:
        take(lock.fileno(), waits=True)
        if found := _listening(path):
            return found
        path.unlink(missing_ok=True)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(path), str(workflow)],
            env=LIBRARY_NOTES | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches it through the commands alone
        )
        lock.write(str(server.pid))
        lock.flush()
        until = time.monotonic() + STARTING
        while time.monotonic() < until:
            if found := _listening(path):
                return found
            time.sleep(0.02)
    return None


def _follow(connection: socket.socket, words: Sequence[str]) -> int:
    """Hand a command over, pass signals on to it, and wait for its exit code."""
    umask = os.umask(0)
    os.umask(umask)
    asked = {"words": list(words), "folder": str(Path.cwd()), "environment": dict(os.environ), "umask": umask}
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    socket.send_fds(connection, [b"\n"], [0, 1, 2])
    connection.sendall(json.dumps(asked).encode() + b"\n")
    with connection.makefile("r", encoding="ascii") as answers:
        number = int(answers.readline())

        def forward(signal_number: int, frame: Any) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal_number)

        for each in FORWARDED:
            if signal.getsignal(each) != signal.SIG_IGN:
                signal.signal(each, forward)
        answer = answers.readline()
    if not answer:
        from ddecli.core.console import console

        console.print("Error: the server that this command was a fork of was killed.")
        return 1
    code = int(answer)
    if code < 0:  # ended by a signal: so do we
        with contextlib.suppress(OSError):  # SIGKILL has no handler
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


@dataclass
class _Request:
    """A connection that a command arrives by, and the process that runs it."""

    connection: socket.socket
    read: bytes = b""
    streams: list[int] = field(default_factory=list)
    process: int | None = None


class _Server:
    """Forks commands until the workflow is over.

    It never computes, and starts no threads: a fork of it is as good as a new process.
    """

    def __init__(self, path: Path, workflow: int) -> None:
        self.path = path
        self.workflow = workflow
        self.requests: list[_Request] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(64)
        self.wake, wakened = socket.socketpair()
        for end in (self.wake, wakened):
            end.setblocking(False)
        self.wakened = wakened

    def serve(self) -> list[str] | None:
        """In the server None, when the workflow is over; in a fork the words of its command."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self.wakened.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self.listener, selectors.EVENT_READ)
            selector.register(self.wake, selectors.EVENT_READ)
            idle_since = time.monotonic()
            while self.requests or (_alive(self.workflow) and time.monotonic() < idle_since + IDLE):
                if self.requests:
                    idle_since = time.monotonic()
                for key, _ in selector.select(timeout=1):
                    if key.fileobj is self.listener:
                        connection, _ = self.listener.accept()
                        self.requests.append(request := _Request(connection))
                        selector.register(connection, selectors.EVENT_READ, request)
                    elif key.fileobj is self.wake:
                        with contextlib.suppress(BlockingIOError):
                            self.wake.recv(4096)
                    else:
                        asked = self._receive(key.data)
                        if asked is None:
                            selector.unregister(key.fileobj)
                        elif asked and self._fork(key.data):
                            selector.close()
                            return self._become(key.data, asked)
                self._reap(selector)
        return None

    def _receive(self, request: _Request) -> dict[str, Any] | None:
        """What a command asks for; empty as long as not all has arrived, None when it went away."""
        if not request.streams:
            data, request.streams, _, _ = socket.recv_fds(request.connection, 1, 3)
        else:
            data = request.connection.recv(65536)
            request.read += data
        if not data:  # the command was killed: what it asked for ends as well
            if request.process:
                os.kill(request.process, signal.SIGTERM)
            else:
                self._forget(request)
            return None
        return json.loads(request.read) if request.read.endswith(b"\n") else {}

    def _fork(self, request: _Request) -> bool:
        """True in the fork."""
        process = os.fork()
        if process:
            request.process = process
            for stream in request.streams:
                os.close(stream)
            with contextlib.suppress(OSError):
                request.connection.sendall(f"{process}\n".encode())
        return not process

    def _become(self, request: _Request, asked: dict[str, Any]) -> list[str]:
        """Take over a command's streams, folder, environment and words."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (self.listener, self.wake, self.wakened, *(other.connection for other in self.requests)):
            each.close()
        for number, stream in enumerate(request.streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
        os.umask(asked["umask"])
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        words: list[str] = asked["words"]
        return words

    def _reap(self, selector: selectors.BaseSelector) -> None:
        """Tell the exit codes of what has ended, and import what it had imported."""
        for request in [each for each in self.requests if each.process]:
            assert request.process is not None
            ended, status = os.waitpid(request.process, os.WNOHANG)
            if not ended:
                continue
            with contextlib.suppress(OSError):
                request.connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            with contextlib.suppress(KeyError, ValueError):
                selector.unregister(request.connection)
            self._forget(request)
            _import_all(self.path.with_suffix(f".{ended}"))

    def _forget(self, request: _Request) -> None:
        request.connection.close()
        self.requests.remove(request)


def _import_all(file: Path) -> None:
    """Import the modules that a file lists, but for those that cannot be; the file is removed."""
    with contextlib.suppress(OSError):
        names = file.read_text(encoding="utf-8").split()
        file.unlink()
        with importing():
            for name in names:
                if name not in sys.modules:
                    with contextlib.suppress(Exception):
                        importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a fork that collects garbage would copy all that it shares


@contextlib.contextmanager
def _noting_imports(file: Path) -> Iterator[None]:
    """List the modules that are imported within, for the server that this process is a fork of."""
    before = set(sys.modules)
    try:
        yield
    finally:
        new = [
            name for name, module in list(sys.modules.items()) if name not in before and _importable(module)
        ]
        if new:
            with contextlib.suppress(OSError):
                part = file.with_name(f"{file.name}.part")
                part.write_text("\n".join(new), encoding="utf-8")
                part.replace(file)


def _importable(module: Any) -> bool:
    """Not what was made in passing, as models from the hub and compiled code are."""
    spec = getattr(module, "__spec__", None)
    return spec is not None and spec.name == getattr(module, "__name__", None)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def serve() -> None:
    """Wait for commands of a workflow; each of them goes on from here, in a fork."""
    path, workflow = Path(sys.argv[1]), int(sys.argv[2])
    words = _Server(path, workflow).serve()
    if words is None:
        shutil.rmtree(path.parent, ignore_errors=True)
        return
    sys.argv = words
    with _noting_imports(path.with_suffix(f".{os.getpid()}")):
        code = _run()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)  # taking the interpreter down would copy all that it shares


def _run() -> int:
    """The command line in this process; its exit code."""
    from ddecli.cli.app import main as command

    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
