"""The compiled program: symbolic and exact, with random access at any time.

A schedule holds loops, not pulses. What is asked of it (timing, currents, dose, events, samples,
envelope) is computed from the program at that place; hour 23 costs what second 1 costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from neurostim.core.bounds import HORIZON_NS
from neurostim.core.errors import ConfigError, Problem
from neurostim.core.image import RETURN_INDEX, ProgramImage
from neurostim.core.program import RETURN_CONTACT
from neurostim.core.sharing import contact_currents
from neurostim.core.timing import AreaTiming
from neurostim.core.validate import image_problems

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from neurostim.core.dose import Dose, UnitTotals
    from neurostim.core.envelope import Enveloper
    from neurostim.core.event_block import EventBlock
    from neurostim.core.placement import Interleave, Placer
    from neurostim.core.profile import WindowProfile
    from neurostim.core.render import Renderer
    from neurostim.core.tables import Tables


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One value the grid changed: asked and given in ``unit`` (ns or nA), and the relative difference."""

    place: str
    asked: Fraction
    given: Fraction
    unit: str
    relative: Fraction

    @classmethod
    def of(cls, place: str, asked: Fraction, given: Fraction, unit: str) -> Adjustment:
        """Make an adjustment; ``relative`` is the magnitude of the difference over asked."""
        return cls(place, asked, given, unit, abs(given - asked) / abs(asked))


class Schedule:
    """A program image and what it means in time.

    Made by `neurostim.core.compile.compile_program`, or from an image alone by `from_image`.

    Parameters
    ----------
    image : ProgramImage
        The program on a device's grid; judged already, or by `from_image`.
    labels : mapping of int to str
        What the program calls each device contact.
    adjustments : tuple of Adjustment
        What rounding to the grid changed.
    names : tuple of str
        Names of the areas.
    title : str
        Name of the program.
    """

    def __init__(
        self,
        image: ProgramImage,
        *,
        labels: Mapping[int, str] | None = None,
        adjustments: tuple[Adjustment, ...] = (),
        names: tuple[str, ...] = (),
        title: str = "",
    ) -> None:
        self.image = image
        self.title = title
        self.contacts: tuple[int, ...] = tuple(
            sorted({contact for area in image.areas for contact, _ in area.shares})
        )
        given = labels or {}
        self.labels: dict[int, str] = {
            contact: given.get(contact, _default_label(contact)) for contact in self.contacts
        }
        self.adjustments = adjustments
        self.names: tuple[str, ...] = names or tuple(f"area {n}" for n in range(1, len(image.areas) + 1))
        self._timings = tuple(AreaTiming.of(area, image.grid, image.duration_ns) for area in image.areas)
        self._profiles: dict[tuple[int, int | None], WindowProfile] = {}
        self._tables: Tables | None = None
        self._enveloper: Enveloper | None = None
        self.interleave: Interleave = self._judge_interleave()

    @classmethod
    def from_image(cls, image: ProgramImage, labels: Mapping[int, str] | None = None) -> Schedule:
        """Make a schedule from an image alone.

        Raises
        ------
        ConfigError
            With every problem, as `compile_program`.
        """
        problems = image_problems(image)
        if problems:
            raise ConfigError("the program image is refused", problems=problems, code="image")
        return cls(image, labels=labels)

    @property
    def duration_ns(self) -> int | None:
        """Duration of the program [ns]; None where it runs until stopped."""
        return self.image.duration_ns or None

    @property
    def silence_ns(self) -> int:
        """Time [ns] from which on nothing drives and no recovery runs; the horizon where there is no end.

        Recovery can go on, as new rows where another area interrupts it, past the duration.
        """
        if self.duration_ns is None:
            return HORIZON_NS
        tails = [
            timing.area.interphase_ticks + timing.passive_limit
            for timing in self._timings
            if timing.area.recharge.is_passive
        ]
        return self.duration_ns + max(tails, default=0) * self.image.grid.tick_ns

    @property
    def timings(self) -> tuple[AreaTiming, ...]:
        """Exact timing of every area."""
        return self._timings

    def area_timing(self, area: int) -> AreaTiming:
        """Exact timing of area ``area`` (0 upward): lengths, occupancies and intervals in ticks."""
        return self._timings[area]

    def unit_currents(self, area: int, factor: Fraction | int = 1) -> dict[int, int]:
        """Contact currents [nA] of a unit of ``area`` at a ramp factor, in contact order."""
        one = self.image.areas[area]
        return contact_currents(one.amplitude_na, factor, one.shares, self.image.grid.step_na, one.ratio)

    def events(
        self, start_ns: int = 0, duration_ns: int | None = None, block: int = 65536, *, reuse: bool = False
    ) -> Iterator[EventBlock]:
        """Rows of the event table whose start lies in [start, start + duration), lazily and in order.

        Parameters
        ----------
        start_ns : int
            From this time on [ns]; the cost does not depend on it.
        duration_ns : int, optional
            For this long [ns]; to the end of the program by default, or for ever.
        block : int
            Most rows in a block.
        reuse : bool
            Whether blocks may share memory: each is then valid only until the next is asked for.

        Yields
        ------
        EventBlock
            At least one row.
        """
        if start_ns < 0 or (duration_ns is not None and duration_ns < 0) or block < 1:
            raise ConfigError(
                f"found start {start_ns} ns, duration {duration_ns} ns, block {block}",
                allowed="start and duration from 0, block from 1",
                code="range",
            )
        from neurostim.core.expand import Expander

        end = HORIZON_NS if duration_ns is None else min(start_ns + duration_ns, HORIZON_NS)
        if self.duration_ns is not None:
            end = min(end, self.silence_ns)
        return Expander(self, self._placer(), reuse=reuse).blocks(start_ns, end, block)

    def render(
        self,
        start_ns: int,
        samples: int,
        rate_hz: int | Fraction,
        contacts: Sequence[int] | None = None,
        dtype: npt.DTypeLike = "int16",
        out: npt.NDArray[Any] | None = None,
        *,
        unit_na: int | None = None,
    ) -> npt.NDArray[Any]:
        """Dense samples of chosen contacts.

        Parameters
        ----------
        start_ns : int
            The first sample is the first of the grid ``n / rate_hz`` at or after this time [ns].
        samples : int
            Samples a contact.
        rate_hz : int or Fraction
            Samples a second, exact.
        contacts : sequence of int, optional
            Device contacts; all the program uses by default.
        dtype : numpy dtype
            int16, in counts of ``unit_na``, or float32, in mA.
        out : array [contacts, samples], optional
            Written in place where given.
        unit_na : int, optional
            One count of int16 [nA]; the device's amplitude step by default.

        Returns
        -------
        array [contacts, samples]
            ``out``, or a new array.

        Notes
        -----
        A pulse starts in the sample its onset falls in, and each phase is a whole number of samples,
        so rendered pulses stay balanced. Where areas are less than a sample apart their samples add.
        """
        renderer = self.renderer(rate_hz, contacts, dtype, unit_na=unit_na)
        shape = (len(renderer.contacts), samples)
        if start_ns < 0 or samples < 0:
            raise ConfigError(f"found start {start_ns} ns, {samples} samples", allowed="from 0", code="range")
        if out is None:
            out = renderer.buffer(samples)
        if out.shape != shape or out.dtype != renderer.dtype:
            raise ConfigError(
                f"found a buffer {out.shape} of {out.dtype}",
                allowed=f"{shape} of {renderer.dtype}",
                code="buffer",
            )
        renderer.render(renderer.first_sample(start_ns), out)
        return out

    def renderer(
        self,
        rate_hz: int | Fraction,
        contacts: Sequence[int] | None = None,
        dtype: npt.DTypeLike = "int16",
        *,
        unit_na: int | None = None,
    ) -> Renderer:
        """A renderer that keeps its scratch memory, for block after block; see `render`."""
        from neurostim.core.render import Renderer

        return Renderer(
            self,
            self._placer(),
            rate_hz=rate_hz,
            contacts=self.contacts if contacts is None else contacts,
            dtype=dtype,
            unit_na=self.image.grid.step_na if unit_na is None else unit_na,
        )

    def envelope(self, start_ns: int, duration_ns: int, columns: int) -> npt.NDArray[np.int32]:
        """Exact least and greatest current of each contact in each column of a time window.

        Parameters
        ----------
        start_ns, duration_ns : int
            The window [ns].
        columns : int
            Column i holds the instants from ``start + floor(i x duration / columns)`` up to the next.

        Returns
        -------
        int32[contacts, columns, 2]
            Least and greatest current [nA]; contacts in the order of ``contacts``. 0 counts where
            nothing drives the contact at some instant of the column.
        """
        if self._enveloper is None:
            from neurostim.core.envelope import Enveloper

            self._enveloper = Enveloper(self, self._placer())
        return self._enveloper.envelope(start_ns, duration_ns, columns)

    def dose(self, duration_ns: int | None = None) -> Dose:
        """Exact charge of every unit whose nominal onset lies before ``duration_ns``.

        Parameters
        ----------
        duration_ns : int, optional
            Time from the start of output [ns]; the program's own duration by default. A program
            that runs until stopped needs it.

        Returns
        -------
        Dose
            Charges in aC, exact.
        """
        from neurostim.core.dose import Dose, area_dose

        limit = self._limit(duration_ns)
        areas = zip(self._timings, self._totals(limit), strict=True)
        return Dose(limit, tuple(area_dose(index, *area) for index, area in enumerate(areas)))

    def _totals(self, limit_ns: int) -> list[UnitTotals]:
        from neurostim.core.dose import closed_totals

        if self.interleave.dropping:
            from neurostim.core.placement import dropped_totals

            return dropped_totals(self, self._placer(), self.tables, limit_ns)
        return [
            closed_totals(timing, partial(self.profile, area), limit_ns)
            for area, timing in enumerate(self._timings)
        ]

    def _limit(self, duration_ns: int | None) -> int:
        if duration_ns is None:
            if self.duration_ns is None:
                raise ConfigError(
                    "the program runs until stopped, so its dose needs a time",
                    allowed="a duration in ns",
                    code="endless",
                )
            return self.duration_ns
        if not 0 <= duration_ns <= HORIZON_NS:
            raise ConfigError(f"found {duration_ns} ns", allowed=f"0 to {HORIZON_NS} ns", code="horizon")
        return duration_ns

    @property
    def tables(self) -> Tables:
        """The integer arrays the kernels read; kept once made."""
        if self._tables is None:
            from neurostim.core.tables import build_tables

            self._tables = build_tables(self)
        return self._tables

    def _placer(self) -> Placer:
        from neurostim.core.placement import Placer

        return Placer(self.tables, self._timings)

    def _judge_interleave(self) -> Interleave:
        from neurostim.core.placement import AreaInterleave, Interleave, interleave_of

        if len(self._timings) == 1:
            return Interleave((AreaInterleave(0, 0, 0),), "one area", False)
        found = interleave_of(self, self._placer())
        if isinstance(found, str):
            problem = Problem(
                "interleave",
                found,
                'areas that leave each other room (rates, delays, widths, priority), or interleave = "drop"',
            )
            raise ConfigError("areas cannot share the output", problems=[problem], code="interleave")
        return found

    def profile(self, area: int, length: int | None) -> WindowProfile:
        """The runs of a window of ``length`` ticks of ``area``; kept once made."""
        from neurostim.core.profile import window_profile

        key = (area, length)
        if key not in self._profiles:
            self._profiles[key] = window_profile(self._timings[area], self.image.grid, length)
        return self._profiles[key]


def _default_label(contact: int) -> str:
    return RETURN_CONTACT if contact == RETURN_INDEX else str(contact)
