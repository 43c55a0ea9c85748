"""How schemathesis sends lines of JSON: it knows no media type of them."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.serializer("application/x-protobuf")
def message(context, value):
    """Any bytes: most are no message, and are refused as such."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()
