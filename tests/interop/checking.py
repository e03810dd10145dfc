"""What the checks beside this file share: each says a line for what it looked at, and goes on where one fails."""

from contextlib import contextmanager

failed = []


@contextmanager
def check(what):
    try:
        yield
    except Exception as error:
        failed.append(what)
        print(f"FAILED: {what}: {type(error).__name__}: {str(error)[:3000]}", flush=True)
    else:
        print(what, flush=True)
