"""Values that messages carry in parts: charges beyond 64 bits of attocoulombs, and sets of contacts."""

from __future__ import annotations

from collections.abc import Iterable

from neurostim.core import bounds
from neurostim.core.errors import ProtocolError
from neurostim.core.image import RETURN_INDEX
from neurostim.wire.messages import ATTOCOULOMB_PER_NC, RETURN_MASK_BIT

_CONTACTS = int(bounds.CONTACT.high)


def split_charge(charge_ac: int) -> tuple[int, int]:
    """Whole nanocoulombs, rounded down, and the rest in attocoulombs: 0 <= rest < 10^9."""
    return divmod(charge_ac, ATTOCOULOMB_PER_NC)


def join_charge(whole_nc: int, rest_ac: int) -> int:
    """Charge [aC] of what `split_charge` gave."""
    return whole_nc * ATTOCOULOMB_PER_NC + rest_ac


def contact_mask(contacts: Iterable[int]) -> int:
    """Mask of device contacts, as IMPEDANCE_FIRE carries it.

    Raises
    ------
    ProtocolError
        Where a contact is neither 1 to 32 nor the return pad.
    """
    mask = 0
    for contact in contacts:
        if contact == RETURN_INDEX:
            mask |= 1 << RETURN_MASK_BIT
        elif bounds.CONTACT.admits(contact):
            mask |= 1 << (contact - 1)
        else:
            raise ProtocolError(
                f"contact {contact} has no place in a mask", allowed=bounds.CONTACT.text, code="bad-content"
            )
    return mask


def mask_contacts(mask: int) -> tuple[int, ...]:
    """Device contacts of a mask, ascending, the return pad last; the mask was checked with its message."""
    numbered = tuple(contact for contact in range(1, _CONTACTS + 1) if mask >> (contact - 1) & 1)
    return numbered + ((RETURN_INDEX,) if mask >> RETURN_MASK_BIT & 1 else ())
