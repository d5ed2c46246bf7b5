"""`breezeblock doctor`: compares rows, flows, events, exports and storages, and mends what does not agree."""
