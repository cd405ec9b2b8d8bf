"""The official Python SDK of CMQ, unchanged."""

import sys
from importlib import import_module
from types import ModuleType

# It imports this module for nothing, and Python 3.13 has it no more.
vars(sys.modules.setdefault("mailcap", ModuleType("mailcap"))).setdefault("subst", None)

Account = import_module("cmq.account").Account
CMQExceptionBase = import_module("cmq.cmq_exception").CMQExceptionBase
CMQServerException = import_module("cmq.cmq_exception").CMQServerException
Queue = import_module("cmq.queue").Queue
QueueMeta = import_module("cmq.queue").QueueMeta
Message = import_module("cmq.queue").Message
Sign = import_module("cmq.sign").Sign
SubscriptionMeta = import_module("cmq.subscription").SubscriptionMeta
TopicMeta = import_module("cmq.topic").TopicMeta
TopicMessage = import_module("cmq.topic").Message
