"""Prints one line for each check and remembers whether one failed."""

import sys


class Report:
    def __init__(self):
        self.failed = 0

    def check(self, name, counts, differences):
        """counts says what was compared, differences is a list of texts."""
        print(f"{'ok  ' if not differences else 'FAIL'} {name}: {counts}", flush=True)
        for text in differences[:5]:
            print(f"       {text}", flush=True)
        if len(differences) > 5:
            print(f"       and {len(differences) - 5} more", flush=True)
        self.failed += bool(differences)

    def exit(self):
        sys.exit(1 if self.failed else 0)
