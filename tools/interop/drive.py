"""Runs the checks of `checks/`, one after the other; see README.md for where a new one goes."""

import asyncio
import importlib
import os
import sys
import time
from pathlib import Path

import harness

ONLY = sys.argv[1:]
# A check's own waits are shorter, and say what they waited for.
LONGEST_CHECK = 60


def checks_of(module):
    for name, check in vars(module).items():
        if name.startswith("check_"):
            title = f"{module.__name__.split('.')[-1]} {name[6:]}".replace("_", " ")
            if not ONLY or any(part.replace("_", " ") in title for part in ONLY):
                yield title, check


async def run(title, check, world):
    begun = time.monotonic()
    task = asyncio.create_task(check(world), name=title)
    # Not `wait_for`, which would wait for a client that does not let itself be cancelled.
    done, _ = await asyncio.wait({task}, timeout=LONGEST_CHECK)
    verdict = "ok"
    if not done:
        verdict = f"FAILED: not over after {LONGEST_CHECK} s; every task that still waits is shown above"
        for pending in asyncio.all_tasks():
            pending.print_stack(limit=8)
        task.cancel()
    elif error := task.exception():
        verdict = f"FAILED: {type(error).__name__}: {error}"
    print(f"{title:<52} {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
    return verdict == "ok"


async def drive():
    passed = []
    for path in sorted(Path(__file__).parent.glob("checks/*.py")):
        module = importlib.import_module(f"checks.{path.stem}")
        if checks := list(checks_of(module)):
            async with module.world() as world:
                passed += [await run(title, check, world) for title, check in checks]
    failed = passed.count(False)
    print(f"interop {'FAILED' if failed or not passed else 'passed'}: {len(passed)} checks, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    status = asyncio.new_event_loop().run_until_complete(drive())
    harness.SCRATCH.cleanup()
    sys.stdout.flush()
    # Not `sys.exit`: a client that hangs must not keep the process.
    os._exit(status)
