"""`openai-moderations`: is this text or picture allowed; OpenAI's and Mistral's Moderations.

A classification that costs nothing at OpenAI: its answers state a model and, as a rule, no usage.
"""

from remora_sidecar.dialects.base import CallRequest
from remora_sidecar.dialects.error_shapes import openai_error
from remora_sidecar.dialects.framing.request_fields import read_asked
from remora_sidecar.dialects.openai.answer import OpenAIReader, is_posted_to, requested_model
from remora_sidecar.model.exchange import AnswerHead, RequestHead
from remora_sidecar.model.refusal import ErrorAnswer, Refusal

NAME = "openai-moderations"


class OpenAIModerations:
    """The dialect."""

    name = NAME

    def claims(self, head: RequestHead) -> bool:
        """Claim every POST to a path that ends in ``/moderations``; Mistral has one for chats."""
        return is_posted_to(head, "/moderations")

    def read_request(self, head: RequestHead, body: bytes) -> CallRequest:
        """Read the model, which may be left to the provider."""
        asked, problem = read_asked(head, body)
        return CallRequest(
            "moderation",
            model=requested_model(head, asked),
            states_usage=False,
            problem=problem,
            samples=False,
        )

    def answer_reader(self, head: AnswerHead, request: CallRequest) -> OpenAIReader:
        """Make the reader of the answer."""
        return OpenAIReader(head, request)

    def refuse(self, refusal: Refusal, call_id: str) -> ErrorAnswer:
        """Word a refusal."""
        return openai_error(refusal, call_id)
