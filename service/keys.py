"""Every key of the application, typed: what handlers may reach for.

Covers: names only. Does not cover: who puts the objects there (`service.app`).
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from msgspec import Raw

from config.schema import Settings
from service.canary import Questions
from service.intake import Intake
from service.lifecycle.registry import Registry
from service.recent import RecentInteractions
from service.scoring import Scoring
from service.telemetry.calls import Calls
from service.telemetry.events import EventLog
from service.telemetry.exposition import Exposition
from service.telemetry.lag import LoopLag
from service.telemetry.trainings import TrainingReader
from service.wrong_tokens import WrongTokens
from training.running.runner import Runner

SETTINGS = web.AppKey("settings", Settings)
REGISTRY = web.AppKey("registry", Registry)
TRAINING = web.AppKey("training", Runner)
TRAINING_READER = web.AppKey("training_reader", TrainingReader)
SCORING = web.AppKey("scoring", Scoring)
QUESTIONS = web.AppKey("questions", Questions)
CALLS = web.AppKey("calls", Calls)
EVENTS = web.AppKey("events", EventLog)
EXPOSITION = web.AppKey("exposition", Exposition)
LOOP_LAG = web.AppKey("loop_lag", LoopLag)
ADMIN_TOKEN = web.AppKey("admin_token", bytes)
"""Empty when none is configured."""
INGEST_TOKEN = web.AppKey("ingest_token", bytes)
"""May post interactions; empty when none is configured."""
INTAKE = web.AppKey("intake", Intake)
RECENT = web.AppKey("recent", RecentInteractions)
WRONG_TOKENS = web.AppKey("wrong_tokens", WrongTokens)
STARTED_AT = web.AppKey("started_at", float)
"""Unix time."""
DESCRIPTION = web.AppKey("description", Raw)
"""The OpenAPI document as JSON."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set once the server no longer accepts connections: nobody should wait for a model any more."""
