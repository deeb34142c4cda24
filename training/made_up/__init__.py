"""Data whose truth is known: what the demo, the benches and the tests train on."""
