"""The image cache, which is our own."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import image_cache
from breezeblock.api.routes.route_makers import action_on, get
from breezeblock.api.schemas import image_cache as image_cache_schemas

ROUTES: list[Route] = [
    get("/image-cache", image_cache.index, "breezeblock:image_cache_get", query=image_cache_schemas.Query),
    get("/image-cache/{id}", image_cache.show, "breezeblock:image_cache_get"),
    Route(
        method="POST",
        path="/image-cache",
        handler=image_cache.prefetch,
        policy="breezeblock:image_cache_prefetch",
        status=202,
        schema=image_cache_schemas.PREFETCH,
    ),
    action_on("image-cache", "pin", image_cache.pin, "breezeblock:image_cache_pin"),
    action_on("image-cache", "unpin", image_cache.unpin, "breezeblock:image_cache_pin"),
    Route(
        method="DELETE",
        path="/image-cache/{id}",
        handler=image_cache.evict,
        policy="breezeblock:image_cache_evict",
        status=202,
    ),
]
