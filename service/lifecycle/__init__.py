"""What state is each model in, and what must happen next?

`state` is data, `machine` and `policy` are pure (no clock, no await, no randomness), `registry` is what request handlers
read, `supervisor` is the asyncio half that performs the machine's actions and feeds events back.
"""
