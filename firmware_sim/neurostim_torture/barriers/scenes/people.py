"""People who ask for what they must not get: more than was approved, or too much at once."""

from __future__ import annotations

from neurostim.core.errors import NeurostimError
from neurostim.session import Session
from neurostim_torture.person import Person


class Greedy(Person):
    """Asks for one step more than there is, again and again, whatever the screen offers."""

    steps_at_once = 1

    def _watch(self, session: Session) -> None:
        plan = self.plan
        part = plan.dwell_ms / 1000 / (len(plan.steps) + 1)
        step_na = self.prepared.ranges[0].step_na * self.steps_at_once
        session.run_for(part)
        for _ in plan.steps:
            if session.delivering and not session.link_lost:
                wanted = session.amplitude(0) + step_na
                self.world.intent("amplitude", area=0, amplitude_na=wanted)
                session.set_amplitude(0, wanted)
            session.run_for(part)


class Leaping(Greedy):
    """Asks for three steps at once."""

    steps_at_once = 3


class Stubborn(Person):
    """Begins another session when the first is over, however it ended, and clears what shows as latched."""

    def live(self) -> None:
        """Do everything, and once more."""
        super().live()
        self._once_more()

    def come_back(self) -> None:
        """Look what became of a session that was killed, and begin another."""
        super().come_back()
        self._once_more()

    def _once_more(self) -> None:
        host = self.world.host
        if host is None or host.dead:
            return
        try:
            if self._connect(host):
                self._settle(host)
                self._session(host)
        except NeurostimError as error:
            self.outcomes.append(f"again:{type(error).__name__}:{error.code}")


class Lingering(Person):
    """Stays in the session for a while after output has ended."""

    def _end(self, session: Session) -> None:
        super()._end(session)
        self._idle_in(session, 1_500)


class Careless(Stubborn):
    """Never releases what is latched, and begins again all the same."""

    def _clear(self, session: Session) -> None:
        """Leave the latch as it is."""
