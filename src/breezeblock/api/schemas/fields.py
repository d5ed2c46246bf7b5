"""Kinds of fields that bodies are made of, with Cinder's limits (`cinder/api/validation/parameter_types.py`)."""

from typing import Annotated

from msgspec import Meta

from breezeblock.errors import InvalidInput

MAX_INT = 2**31 - 1

Text = Annotated[str, Meta(max_length=255)]
"""Free text such as a name."""
Words = Annotated[str, Meta(min_length=1, max_length=255)]
"""Text that may not be empty."""
LongText = Annotated[str, Meta(max_length=65535)]
Uuid = Annotated[str, Meta(pattern=r"\A[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")]
Size = Annotated[int, Meta(ge=1, le=MAX_INT)]
"""GiB."""
MetadataKey = Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9\-_:. /]{1,255}\Z")]
Metadata = dict[MetadataKey, Text]
OneOfMetadata = Annotated[Metadata, Meta(min_length=1, max_length=1)]
ImageMetadata = dict[MetadataKey, LongText]
SpecKey = Annotated[str, Meta(pattern=r"\A[a-zA-Z0-9\-_:.]{1,255}\Z")]
Specs = dict[SpecKey, Text | None]
TRUE = frozenset("true 1 on yes y t".split())
FALSE = frozenset("false 0 off no n f".split())
"""The words for a boolean."""

FLAG_PATTERN = rf"\A\s*(?i:{'|'.join(sorted(TRUE | FALSE))})\s*\Z"
Flag = bool | Annotated[str, Meta(pattern=FLAG_PATTERN)]
"""A boolean, also as one of the words that Cinder understands; `flag` settles it."""


def flag(value: Flag | None, name: str, default: bool = False) -> bool:
    """The boolean of a field; absent and null are the default. Raises `InvalidInput` for another word."""
    if value is None:
        return default
    word = str(value).strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise InvalidInput(f"Invalid input for field/attribute {name}. Value: {value}. It is not a boolean.")


def trimmed(value: str | None) -> str | None:
    """A name or description as it is kept: without white space around it."""
    return value.strip() if value is not None else None
