"""A place that a call may be sent to; the request that asks it is made when it is taken."""

from remora.errors import UpstreamError
from remora.providers import Provider
from remora_sidecar.dialects.base import Dialect
from remora_sidecar.dialects.parameters import NOTHING_SET, Parameters, arm_key
from remora_sidecar.engine.leg import Leg, leg_to
from remora_sidecar.policy.failures import UNASKABLE


class Option:
    """A provider and a model for one call."""

    __slots__ = ("_dialect", "_leg", "_own", "model", "parameters", "provider")

    def __init__(
        self,
        own: Leg,
        dialect: Dialect,
        provider: Provider,
        model: str,
        parameters: Parameters = NOTHING_SET,
    ) -> None:
        """Name it.

        Args:
            own: The call as the agent made it.
            dialect: The call's.
            provider: Who may be asked.
            model: For what.
            parameters: That policy sets in the request.
        """
        self.provider = provider
        self.model = model
        self.parameters = parameters
        self._own = own
        self._dialect = dialect
        as_asked = provider is own.provider and model == own.model and not parameters.text
        self._leg = own if as_asked else None

    @property
    def key(self) -> str:
        """Name it as receipts and notes do."""
        return arm_key(self.provider.name, self.model, self.parameters)

    @property
    def is_askable(self) -> bool:
        """Whether a request can be made that asks for it; it is made then."""
        if self._leg is None:
            self._leg = leg_to(self._own, self._dialect, self.provider, self.model, self.parameters)
        return self._leg is not None

    @property
    def leg(self) -> Leg:
        """The request that asks for it; raises UpstreamError where none can be made."""
        leg = self._leg
        if leg is not None or (self.is_askable and (leg := self._leg) is not None):
            return leg
        raise UpstreamError(f"the request can't be made to ask {self.key}", kind=UNASKABLE)
