"""Images as a front door of the Compute API shows them. Who may see and change which is the image service's to say."""

import builtins
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from novaflow.errors import Conflict, NotFound
from novaflow.models import Context, ImageFacts

PRIVATE: Final = "private"
PUBLIC: Final = "public"
SHARED: Final = "shared"


class OwnImages(Protocol):
    """What is asked of the image service, with the caller's token; it raises NotFound, Forbidden, Unauthorized, ServiceUnavailable."""

    async def show(self, image_id: str, token: str) -> ImageFacts:
        """One image."""
        ...

    async def list(self, filters: Mapping[str, str], token: str) -> Sequence[ImageFacts]:
        """The images whose properties are these."""
        ...

    async def update(self, image_id: str, changes: Mapping[str, object], token: str) -> None:
        """Change its properties. Raises Invalid, Conflict."""
        ...

    async def delete(self, image_id: str, token: str) -> None:
        """Remove it. Raises Conflict."""
        ...

    async def members(self, image_id: str, token: str) -> Sequence[str]:
        """The projects that it is shared with."""
        ...

    async def share(self, image_id: str, project_id: str, token: str) -> None:
        """Share it with one more. Raises Conflict when it is."""
        ...

    async def unshare(self, image_id: str, project_id: str, token: str) -> None:
        """Share it with one less."""
        ...


class ImageOperations:
    """What is done with images for the caller; all raise what the image service refuses."""

    def __init__(self, images: OwnImages) -> None:
        self._images = images

    async def list(self, context: Context) -> Sequence[ImageFacts]:
        """The images that the caller sees: his project's, public ones, and those that it accepted from others."""
        return await self._images.list({}, context.token)

    async def get(self, context: Context, image_id: str) -> ImageFacts:
        """One image."""
        return await self._images.show(image_id, context.token)

    async def change(self, context: Context, image_id: str, changes: Mapping[str, object]) -> None:
        """Say something else about an image: its name, its description or any other property."""
        await self._images.update(image_id, changes, context.token)

    async def delete(self, context: Context, image_id: str) -> None:
        """Remove an image; servers made of it stay."""
        await self._images.delete(image_id, context.token)

    async def publish(self, context: Context, image_id: str, *, is_public: bool) -> None:
        """Let everybody see an image, or no more than its owners and those that it is shared with."""
        if is_public:
            await self._images.update(image_id, {"visibility": PUBLIC}, context.token)
        elif (await self.get(context, image_id)).visibility == PUBLIC:
            await self._images.update(image_id, {"visibility": SHARED}, context.token)

    async def withdraw(self, context: Context, image_id: str) -> None:
        """Let an image's owners alone see it: who had it does not get it back when it is shared with somebody else."""
        await self.publish(context, image_id, is_public=False)
        if fewer := await self.members(context, image_id):
            await self.share(context, image_id, more=[], fewer=list(fewer))
        await self._images.update(image_id, {"visibility": PRIVATE}, context.token)

    async def members(self, context: Context, image_id: str) -> Sequence[str]:
        """The projects that an image is shared with; of one that is not shared none."""
        if (await self.get(context, image_id)).visibility != SHARED:
            return ()
        return await self._images.members(image_id, context.token)

    async def share(
        self, context: Context, image_id: str, *, more: builtins.list[str], fewer: builtins.list[str]
    ) -> None:
        """Share an image with some projects and no more with others; what is so already stays so."""
        if more and (await self.get(context, image_id)).visibility == PRIVATE:
            await self._images.update(image_id, {"visibility": SHARED}, context.token)
        for project_id in more:
            try:
                await self._images.share(image_id, project_id, context.token)
            except Conflict:
                continue
        for project_id in fewer:
            try:
                await self._images.unshare(image_id, project_id, context.token)
            except NotFound:
                continue
