import pytest
from bench.rooms import ELSEWHERE, room_of_module, room_of_stack


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("remora_sidecar.engine.pricing", "pricing"),
        ("remora_sidecar.engine.call", "engine"),
        ("remora_sidecar.model.handoff", "rest of the sidecar"),
        ("remora_sidecar_other", None),
        ("asyncio.sslproto", "TLS"),
        ("asyncio.events", "event loop and sockets"),
        ("json.decoder", None),
    ],
)
def test_a_module_has_a_room(module, room):
    assert room_of_module(module) == room


def test_libraries_work_for_the_innermost_room():
    stack = ["json.decoder", "json", "remora_sidecar.dialects.openai.chat", "asyncio.events"]
    assert room_of_stack(stack) == "dialects"


def test_a_stack_without_a_room_is_elsewhere():
    assert room_of_stack(["threading"]) == ELSEWHERE
