"""The list of functions that a person reads at the terminal."""

from local.host.serving import Host


def function_lines(host: Host) -> list[str]:
    """One line per function: its name, its methods or trigger, its URL, its queue or what it lacks."""
    rows = [(f.name, ",".join(f.methods) or "ANY", f.url) for f in host.functions]
    rows += [(f.name, f.trigger, f"queue {f.queue} of {f.connection}") for f in host.fed]
    rows += [(f.name, f.trigger, f"is not fed: {f.reason}") for f in host.idle]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"  {name:{widths[0]}}  {what:{widths[1]}}  {where}" for name, what, where in rows]
