"""An area of the console: its routes, and where it stands in the navigation."""

from dataclasses import dataclass

from fastapi import APIRouter

from app.domain.users import Role


@dataclass(frozen=True, slots=True)
class Area:
    """Routes that belong together. With a `label`, `path` stands in the navigation of who has `role`."""

    router: APIRouter
    path: str = ""
    label: str = ""
    role: Role = Role.VIEWER
