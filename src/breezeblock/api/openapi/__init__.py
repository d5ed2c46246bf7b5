"""The API described to programs: OpenAPI 3.1 documents, made of the route table and of what it names.

Nothing is described here a second time. Paths, statuses and rules are the table's, bodies are the records of `schemas`,
answers are the types that handlers say they return (the shapes beside the views), lists are `listing.Listing`.
"""
