"""The image API, below `/image/v2`; there where the image service is the local store."""

from breezeblock.api.dispatch import Route
from breezeblock.api.handlers import images
from breezeblock.api.routes.route_makers import get
from breezeblock.api.schemas import images as image_schemas

READ_IMAGES = "image:get_images"
CHANGE_IMAGES = "image:modify_images"

ROUTES: list[Route] = [
    Route(
        method="POST",
        path="/images",
        handler=images.create,
        policy=CHANGE_IMAGES,
        status=201,
        schema=image_schemas.CREATE,
        answer_headers=("Location",),
    ),
    get("/images", images.index, READ_IMAGES, query=image_schemas.Query),
    get("/images/{id}", images.show, READ_IMAGES),
    Route(
        method="PATCH",
        path="/images/{id}",
        handler=images.update,
        policy=CHANGE_IMAGES,
        schema=image_schemas.PATCH,
        media_types=image_schemas.PATCH_TYPES,
    ),
    Route(method="DELETE", path="/images/{id}", handler=images.delete, policy=CHANGE_IMAGES, status=204),
    Route(
        method="PUT",
        path="/images/{id}/file",
        handler=images.upload,
        policy=CHANGE_IMAGES,
        status=204,
        consumes=image_schemas.DATA,
    ),
    get("/images/{id}/file", images.download, READ_IMAGES, produces=image_schemas.DATA, may_be_empty=True),
    Route(method="PUT", path="/images/{id}/tags/{tag}", handler=images.add_tag, policy=CHANGE_IMAGES, status=204),
    Route(method="DELETE", path="/images/{id}/tags/{tag}", handler=images.remove_tag, policy=CHANGE_IMAGES, status=204),
    get("/schemas/image", images.image_schema, None),
    get("/schemas/images", images.images_schema, None),
]
