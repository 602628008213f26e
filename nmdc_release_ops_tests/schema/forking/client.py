"""Stands in place of an environment's Python: has `server.py` fork a process, and ends with it.

What is no `python -c` is left to the real one. `{SERVER}` and `{PYTHON}` are filled in where this is copied to.
"""

import json
import os
import socket
import sys

SERVER, PYTHON = "{SERVER}", "{PYTHON}"


def main() -> None:
    arguments = sys.argv[1:]
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
        "parent": os.getppid(),
        "descriptors": descriptors,
    }
    socket.send_fds(connection, [json.dumps(message).encode()], descriptors)
    # They belong to the other process: nobody is to wait for this one's end to see the end of a file.
    for one in descriptors:
        os.close(one)
    status = int(connection.recv(100) or b"256")
    if os.WIFSIGNALED(status):
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


main()
