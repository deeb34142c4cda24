"""A program that asks a Holdfast server: waits for its model, asks for one user and for many, and tells what went wrong.

    HOLDFAST_URL=http://127.0.0.1:8000 python client_example.py als 1 2 3

With ADMIN_LOAD_TOKEN set it also asks the source for a new revision first.
"""

from __future__ import annotations

import asyncio
import os
import sys

from service.client import Holdfast, HoldfastError, ModelFailed, ModelLoading, Progress, UnknownEntity

DEADLINE_S = 120.0


def show(progress: Progress) -> None:
    """One line about a model that is not ready yet."""
    share = f" {progress.progress:.0%}" if progress.progress is not None else ""
    left = f", {progress.eta_s:.0f} s left" if progress.eta_s is not None else ""
    print(f"waiting for {progress.model}: {progress.phase or 'not there yet'}{share}{left}", file=sys.stderr)


def ask_in_turn(model: str, users: list[int]) -> None:
    """One user with explanations, then all of them in one call."""
    with Holdfast(deadline_s=DEADLINE_S) as client:
        ready = client.wait_ready(model, on_progress=show)
        print(f"{model} serves version {ready.version} ({ready.family})")
        if os.environ.get("ADMIN_LOAD_TOKEN"):
            print(f"asked the source: {model} serves version {client.reload(model, wait=True).version}")
        try:
            answer = client.predict(model, user_id=users[0], k=3, explain=True)
        except UnknownEntity as error:
            print(f"user {users[0]}: {error}")
        else:
            for item in answer.items:
                reasons = ", ".join(str(reason.item_id) for reason in item.because or ())
                print(f"user {answer.user_id}: {item.item_id} {item.score:.3f}" + (f" because of {reasons}" if reasons else ""))
        for result in client.predict(model, users=users, k=1).results:
            best = result.items[0].item_id if result.items else f"nothing ({result.error['detail'] if result.error else 'no items'})"
            print(f"best for user {result.user_id}: {best}")


async def ask_at_once(model: str, users: list[int]) -> None:
    """One call a user, all at the same time. Where one is refused because there are too many, the client asks again."""
    async with Holdfast(deadline_s=DEADLINE_S) as client:
        answers = await asyncio.gather(*(client.predict(model, user_id=user, k=1) for user in users), return_exceptions=True)
    known = [answer for answer in answers if not isinstance(answer, BaseException)]
    print(f"{len(known)} of {len(users)} users answered at once")


def main(model: str, *users: str) -> int:
    """Ask; 0 where the model answered."""
    try:
        ask_in_turn(model, [int(user) for user in users])
        asyncio.run(ask_at_once(model, [int(user) for user in users]))
    except ModelLoading as error:
        print(f"{model} is still {error.progress.phase}: try again later", file=sys.stderr)
    except ModelFailed as error:
        print(f"{model} cannot serve: {error}", file=sys.stderr)
    except HoldfastError as error:
        print(f"no answer: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) > 2 else __doc__)
