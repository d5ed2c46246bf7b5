"""One module for each of the six kinds of source: `create(flow, volume, spec) -> Made`."""
