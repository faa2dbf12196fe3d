"""Airflow's approval, whose answer is also there for what comes after a rejection."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

NOBODY = {"by": "nobody", "reason": "no answer within the time limit"}


class ReviewOperator(ApprovalOperator):
    """Asks a person to approve or reject; the XCom `answer` has who (`by`) and why (`reason`).

    A rejection skips what follows directly by ending the task from within, so it leaves no return value behind.
    """

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Keep the answer, then go on or skip."""
        user = event.get("responded_by_user")
        reason = (event.get("params_input") or {}).get("reason", "")
        answer = NOBODY if user is None else {"by": str(user["name"] or user["id"]), "reason": reason}
        context["ti"].xcom_push(key="answer", value=answer)
        return super().execute_complete(context=context, event=event)
