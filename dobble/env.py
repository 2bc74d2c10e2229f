"""Every environment variable that the library reads, with its default."""

import os

LABELBOX_API_KEY = "LABELBOX_API_KEY"
LABELBOX_ENDPOINT = "DOBBLE_LABELBOX_ENDPOINT"
STACK = "DOBBLE_STACK"

_LABELBOX_GRAPHQL = "https://api.labelbox.com/graphql"


def labelbox_api_key() -> str:
    """Give the key of the Labelbox workspace, empty if none is set."""
    return os.environ.get(LABELBOX_API_KEY, "").strip()


def labelbox_endpoint() -> str:
    """Give the address of Labelbox's GraphQL API."""
    return os.environ.get(LABELBOX_ENDPOINT, "").strip() or _LABELBOX_GRAPHQL


def chosen_stack() -> str | None:
    """Give the stack that the environment chooses, None if it leaves the choice to `dobble stack use`."""
    return os.environ.get(STACK, "").strip() or None
