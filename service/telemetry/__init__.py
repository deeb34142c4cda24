"""What happened lately, in numbers and in order: calls, events, the lag of the event loop. No HTTP here."""
