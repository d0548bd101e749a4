# SPDX-License-Identifier: Apache-2.0
"""Whether a process has octets of these files in its memory: "found FILE" for each that it has.

    in_memory.py PID FILE...

Looked for are 24 octets out of the middle of each file, so that neither its beginning, which many have, nor its layout matters.
"""
import re
import sys

pid, files = sys.argv[1], sys.argv[2:]
wanted = {}
for name in files:
    with open(name, "rb") as f:
        octets = f.read()
    middle = len(octets) // 2
    wanted[name] = octets[middle - 12:middle + 12]
    assert len(wanted[name]) == 24, name
found = set()
with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for line in maps:
        fields = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if fields is None or "[v" in line:
            continue
        at, end = (int(x, 16) for x in fields.groups())
        if end - at > 1 << 32:  # a sanitiser's shadow
            continue
        while at < end:
            size = min(end - at, 1 << 24)
            try:
                memory.seek(at)
                octets = memory.read(size + 24 if at + size < end else size)
            except OSError:  # not there
                octets = b""
            found |= {name for name, some in wanted.items() if some in octets}
            at += size
for name in sorted(found):
    print("found", name)
