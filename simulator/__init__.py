"""The partner's HTTP API as a program of its own: strict, scriptable, and able to misbehave.

Demo, tests and chaos runs send to it and afterwards compare its ledger with their own truth. It is
written from the partner's protocol alone and imports nothing of the gateway, so that one misreading
of that protocol cannot sit on both sides and cancel out.

Run it with ``python -m simulator --help``; start it from Python with
:func:`simulator.process.running_simulator`.
"""
