"""Running workflows: what is asked next, what it may cost, and what a run came to.

The machines here are pure: clocks, answers and requests come in as values, commands go out.
`run.Run` is the whole of it; whoever carries its commands out asks models, keeps time and saves.
"""
