"""How each partner API looks on the wire. A further partner is one more file and one more line here."""

from app.partners.basic import BASIC
from app.partners.profile import Endpoint, Fault, Invalid, Payload, Prepared, Profile

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (BASIC,)}

__all__ = ["PROFILES", "Endpoint", "Fault", "Invalid", "Payload", "Prepared", "Profile"]
