"""An interpreter as other systems have it, made of a `sitecustomize` in a folder: an environment, no mock.

What Python on Windows does not have is taken away: modules, calls of `os`, signals, starting a process by a fork. The
standard library and torch ask for the system's name and find Linux, so those of them that are loaded keep an `os` and a
`signal` of their own; gradiometer, which comes later, finds what is left.
"""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT = """
import importlib.abc, os, signal, sys, types

MODULES = {"fcntl", "grp", "posix", "pwd", "pty", "resource", "termios", "tty"}
CALLS = (
    "chown chroot confstr ctermid fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid "
    "getpgrp getpriority getresuid getsid getuid initgroups killpg lchown lockf mkfifo mknod nice openpty pathconf "
    "pipe2 posix_fadvise posix_spawn pread preadv pwrite pwritev register_at_fork sched_getaffinity sched_setaffinity "
    "sched_yield sendfile setegid seteuid setgid setgroups setpgid setpriority setsid setuid statvfs sync "
    "tcgetpgrp ttyname uname wait wait3 wait4 waitid WIFEXITED WIFSIGNALED WEXITSTATUS WTERMSIG WNOHANG O_CLOEXEC "
    "O_DIRECTORY O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC"
).split()
SIGNALS = "SIGKILL SIGHUP SIGQUIT SIGALRM SIGUSR1 SIGUSR2 SIGCHLD SIGPIPE pthread_sigmask alarm setitimer".split()


class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        # Who asks decides: the standard library on Linux can't do without them.
        asking = next(
            (one for one in map(lambda depth: sys._getframe(depth).f_globals.get("__name__", ""), range(1, 40))
             if not one.startswith(("importlib", "_frozen", "sitecustomize"))), "")
        if name in MODULES and asking.startswith("gradiometer"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def keep_whole(module):
    whole = types.ModuleType(module.__name__)
    whole.__dict__.update(module.__dict__)
    for one in list(sys.modules.values()):
        if one.__name__ != __name__ and vars(one).get(module.__name__) is module:
            vars(one)[module.__name__] = whole


def knows_sockets_alone(*rest):
    raise OSError("an operation was attempted on something that is not a socket")


def leave_linux():
    import asyncio, concurrent.futures.process, getpass, multiprocessing.popen_spawn_posix, multiprocessing.spawn
    import multiprocessing.resource_tracker, multiprocessing.synchronize, platform, shutil, subprocess, tempfile, uuid
    import select
    import torch, torch.utils.data
    platform.platform()
    multiprocessing.set_start_method("spawn", force=True)
    keep_whole(os)
    keep_whole(signal)
    keep_whole(select)
    select.select = knows_sockets_alone
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Missing())
    for name in CALLS:
        if hasattr(os, name):
            delattr(os, name)
    for name in SIGNALS:
        if hasattr(signal, name):
            delattr(signal, name)


leave_linux()
"""


def run_elsewhere(folder: Path, *words: str, input_text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS` in a folder, without what Python on Windows does not have."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(WITHOUT)
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, input=input_text
    )
