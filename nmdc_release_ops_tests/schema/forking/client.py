"""Stands in place of an environment's Python: has `server.py` fork a process, and ends with it.

What is no `python -c` is left to the real one. `{SERVER}` and `{PYTHON}` are filled in where this is copied to.
"""

import json
import os
import resource
import select
import socket
import sys

SERVER, PYTHON = "{SERVER}", "{PYTHON}"
SECONDS_BETWEEN_CHECKS = 0.5


def main() -> None:
    arguments, parent = sys.argv[1:], os.getppid()
    if "-c" not in arguments:
        os.execv(PYTHON, [PYTHON, *arguments])  # noqa: S606
    place = arguments.index("-c")
    # Without the one that the folder was listed with.
    descriptors = [int(one) for one in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{one}")]
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(SERVER)
    message = {
        "code": arguments[place + 1],
        "arguments": arguments[place + 2 :],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "parent": parent,
        "largest": resource.getrlimit(resource.RLIMIT_FSIZE),
        "descriptors": descriptors,
    }
    socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
    # They belong to the other process: nobody is to wait for this one's end to see the end of a file.
    for one in descriptors:
        os.close(one)
    while not select.select([connection], [], [], SECONDS_BETWEEN_CHECKS)[0]:
        # As `die_with_parent` has it. The other process then ends too.
        if os.getppid() != parent:
            os._exit(70)
    status = int(connection.recv(100) or b"256")
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


main()
