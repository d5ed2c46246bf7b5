"""`make chaos SECONDS=…`: everything at once on a service whose processes are killed at random, and then a look at what is left.

site      the service: its processes, and how each of them dies
killer    who dies when
api       requests of somebody who repeats them until they are answered
ledger    what the users made, and what must be in it
users     what they do: create of each source, snapshot, back up, extend, attach, delete
guest     a machine that writes to an attached volume and remembers what was flushed
content   what a volume holds, told by its hash
proof     the look at what is left
"""
