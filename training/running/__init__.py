"""Who trains, when, and what became of it?

    runner.py carrying.py process.py    the asyncio half: which run when, one run to its end, its child
    plan.py child.py steps.py telling.py    what the child is told, its process, the steps of a run, what it tells     (child)
    journal.py records.py recording.py tallies.py runs.py    the runs, in SQLite
    lock.py      one run a training, one switch at a time
    schedule.py local_zone.py    when: pure, and the zone of this host
    arrangement.py refused.py    what is made of what, and why a run does not begin

Nothing but what is marked imports numpy.
"""
