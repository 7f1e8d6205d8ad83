"""Fixtures that run tasks from the command line."""

from tests.support.task_runs import refused_task as refused_task
from tests.support.task_runs import run_task as run_task
