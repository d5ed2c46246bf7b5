"""The links of resources: below the address that the request came to, or `public_endpoint`."""

from urllib.parse import urlencode

import falcon

from breezeblock.api.shapes import Link


class Links:
    """Makes links for one request; with the project in them if the request has it in its path."""

    def __init__(self, request: falcon.Request, public_endpoint: str | None, project_in_path: str | None) -> None:
        root = (public_endpoint or request.prefix).rstrip("/")
        project = f"/{project_in_path}" if project_in_path else ""
        self.root = root
        self.own = f"{root}/v3{project}/"
        self.bookmark = f"{root}{project}/"

    def of(self, collection: str, resource_id: str) -> list[Link]:
        """`self` and `bookmark` of one resource."""
        tail = f"{collection}/{resource_id}"
        return [{"rel": "self", "href": self.own + tail}, {"rel": "bookmark", "href": self.bookmark + tail}]

    def next(self, path: str, params: dict[str, str], marker: str) -> list[Link]:
        """`next`: the same list from `marker` on."""
        return [{"rel": "next", "href": f"{self.own}{path}?{urlencode(params | {'marker': marker})}"}]
