"""Reads the files of TestPeer with asammdf and works out what must be in them."""

import json
import sys

import numpy as np
from asammdf import MDF

folder, expected = sys.argv[1], json.loads(sys.argv[2])
failed = False


def check(file, what, got, want):
    global failed
    got, want = list(got), list(want)
    if got != want:
        failed = True
        print(f"{file}: {what}: {got[:8]}, want {want[:8]}")


for name, rows in sorted(expected.items()):
    with MDF(f"{folder}/{name}.mf4") as mdf:
        groups = [g for g in range(len(mdf.groups)) if mdf.groups[g].channels]
        for g, n in zip(groups, rows, strict=True):
            i = np.arange(n)
            names = [c.name for c in mdf.groups[g].channels]
            if "note" in names:
                check(name, "note", [v.rstrip(b"\0").decode() for v in mdf.get("note", group=g, raw=True).samples], [f"note {k * k}" for k in i])
                continue
            get = lambda c, raw: mdf.get(c, group=g, raw=raw, ignore_invalidation_bits=True).samples.tolist()
            check(name, "t", get("t", True), (i * 0.1).tolist())
            check(name, "count", get("count", True), (i * 7).tolist())
            check(name, "packed", get("packed", True), (i * 11 % 1024).tolist())
            check(name, "sign", get("sign", True), [int(k % 128) - (128 if k % 128 > 63 else 0) for k in i])
            check(name, "speed", get("speed", False), (-40 + (i % 256) * 0.5).tolist())
            check(name, "gear", get("gear", False), [[b"N", b"1", b"2", b"?"][k % 4] for k in i])
            invalid = mdf.get("sign", group=g, raw=True, ignore_invalidation_bits=True).invalidation_bits
            check(name, "invalid", np.asarray(invalid).astype(bool).tolist(), (i % 5 == 0).tolist())
sys.exit(failed)
