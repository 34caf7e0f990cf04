"""Drives the published client through a decision, an answer, its outcome and all feedback."""

import json
import threading

import kalibr
from kalibr import Router, feedback, intelligence

MESSAGES = [{"role": "user", "content": "Say something about herons, please."}]


def threads_done() -> None:
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and "pydevd" not in thread.name:
            thread.join(5)


def main() -> dict:
    told = {}
    router = Router(goal="birds", paths=["gpt-4o", "gpt-4o-mini"], success_when=lambda _: True)
    answer = router.completion(MESSAGES)
    told["trace_id"], told["model"] = answer.kalibr_trace_id, answer.kalibr_model_used
    told["text"] = answer.choices[0].message.content
    intelligence._decide_cache.clear()

    # A model that fails, and the other one in its place.
    falling = Router(goal="falling", paths=["error-400", "gpt-4o"], success_when=lambda _: True)
    tries = 0
    for _ in range(40):
        answer = falling.completion(MESSAGES)
        tries += 1
        intelligence._decide_cache.clear()
        if falling._last_decision["model_id"] == "error-400":
            break
    told["fallen"] = {"tries": tries, "model": answer.kalibr_model_used}

    # Explicit feedback.
    feedback.track_run({"trace_id": told["trace_id"], "goal": "birds"})
    told["rejected"] = feedback.user_rejected("too long for me")
    told["accepted"] = feedback.user_accepted(0.9)

    # A session.
    for session, turns in (
        ("s1", ["no, redo it, that is wrong"]),
        ("s2", ["thanks, that is perfect"]),
    ):
        feedback.report_pipeline(session, "birds", "a prompt", "an output", "gpt-4o")
        for turn in turns:
            feedback.report_user_turn(session, turn)
    feedback.report_action("s1", "output_edited", edit_diff="my private words")
    threads_done()
    told["sessions"] = {name: feedback._read_session(name)["trace_id"] for name in ("s1", "s2")}

    # The end of a session, by its momentum.
    feedback.report_pipeline("s3", "birds", "a prompt", "an output", "gpt-4o-mini")
    for turn in ("tell me of herons here", "tell me of herons then", "tell me of herons soon"):
        feedback.report_user_turn("s3", turn)
    feedback.report_session_end("s3")
    told["sessions"]["s3"] = feedback._read_session("s3")["trace_id"]
    told["emitted"] = feedback.emit_signal(
        "downstream_use", 1.0, trace_id=told["trace_id"], goal="birds"
    )

    # Everything else that is asked.
    client = intelligence.KalibrIntelligence()
    told["decision"] = client.decide("birds", pipeline_id="p1")
    told["forced"] = kalibr.report_outcome(
        "0" * 32, "birds", False, failure_category="timeout", model_id="gpt-4o"
    )
    told["updated"] = kalibr.update_outcome(
        told["decision"]["trace_id"], "birds", success=True, metadata={"rows": 3, "who": "me"}
    )
    told["policy"] = kalibr.get_policy("birds")
    told["recommendation"] = kalibr.get_recommendation("qa", goal="birds", optimize_for="quality")
    told["config"] = client.set_exploration_config("birds", exploration_rate=0.2)
    told["config_again"] = client.get_exploration_config("birds")
    path = client.register_path("birds", "claude-haiku", "search", {"temperature": 0.2}, "high")
    told["path"] = path
    told["disabled"] = client.disable_path(path["path_id"])
    told["paths"] = client.list_paths("birds", include_disabled=True)["paths"]
    told["enabled_paths"] = client.list_paths("birds")["paths"]
    told["insights"] = client.get_insights()
    return told


print(json.dumps(main()))
