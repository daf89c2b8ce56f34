#!/usr/bin/env python3
"""Prints names.txt: everything that people who come from Django may look for in docs/django.md.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install django && /tmp/venv/bin/python names.py > names.txt
"""

import pkgutil

import django
import django.conf
import django.contrib.auth
import django.contrib.sessions.backends as backends
import django.contrib.sessions.exceptions as exceptions
import django.contrib.sessions.management.commands as commands
from django.conf import global_settings
from django.contrib.sessions.backends.base import SessionBase

OPERATORS = {
    "__contains__": "key in session",
    "__delitem__": "del session[key]",
    "__getitem__": "session[key]",
    "__setitem__": "session[key] = value",
}
NO_OPERATORS = {"__dict__", "__doc__", "__init__", "__module__", "__weakref__", "__static_attributes__", "__firstlineno__"}

django.conf.settings.configure()
own = vars(SessionBase).keys() | vars(SessionBase()).keys()
operators = {name for name in own if name.startswith("__")} - NO_OPERATORS
public = {name for name in own | set(dir(SessionBase)) if not name.startswith("_")}
settings = {name for name in dir(global_settings) if "SESSION" in name} | {"MESSAGE_STORAGE"}
engines = {module.name for module in pkgutil.iter_modules(backends.__path__)} - {"base"}
errors = {name for name in vars(exceptions) if "Session" in name}
around = {name for name in ("login", "logout", "update_session_auth_hash") if hasattr(django.contrib.auth, name)}
managing = {f"manage.py {module.name}" for module in pkgutil.iter_modules(commands.__path__)}

print(f"# Django {django.__version__}, by names.py")
for title, names in (
    ("SessionBase", public | {OPERATORS[name] for name in operators}),
    ("settings", settings),
    ("backends", engines),
    ("management commands", managing),
    ("exceptions", errors),
    ("auth", around),
):
    print(f"\n# {title}")
    print(*sorted(names), sep="\n")
