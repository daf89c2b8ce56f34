"""Cloakroom before an application, configured as docs/legacy.md says, on other ports and with fresh keys."""

import json
import secrets

from document import changed
from stage import free_port


class Cloakroom:
    def __init__(self, stage, redis, binary, name, config, app_port):
        self.stage, self.redis, self.binary, self.name = stage, redis, binary, name
        self.port, self.admin, self.app_port = free_port(), free_port(), app_port
        self.base = f"http://127.0.0.1:{self.port}"
        self.folder = stage.path / f"{name}-proxy"
        (self.folder / "keys").mkdir(parents=True)
        for key in "root", "token", "admin":
            (self.folder / "keys" / key).write_text(secrets.token_urlsafe(32) + "\n")
        replaced = {"127.0.0.1:8080": f"127.0.0.1:{self.port}", "127.0.0.1:8081": f"127.0.0.1:{app_port}"}
        replaced["127.0.0.1:9901"] = f"127.0.0.1:{self.admin}"
        store = {"127.0.0.1:6379": f"127.0.0.1:{redis.port}"} if "redis://" in config else {}
        self.config = changed(config, {**replaced, **store})
        self.program = None

    def start(self, *arguments, **session):
        """`cloakroom run`, with more `arguments`; `session` are settings of its [session]."""
        lines = self.config.splitlines()
        for key, value in session.items():
            lines = [line for line in lines if not line.startswith(f"{key} =")]
            if "[session]" not in lines:
                lines += ["", "[session]"]
            lines.insert(lines.index("[session]") + 1, f'{key} = "{value}"')
        file = self.folder / "cloakroom.toml"
        file.write_text("\n".join(lines) + "\n")
        self.program = self.stage.start(f"{self.name}-proxy", [self.binary, "run", "--config", file, *arguments], self.port)

    def another(self, name, config):
        """One more before the same application, started."""
        other = Cloakroom(self.stage, self.redis, self.binary, name, config, self.app_port)
        other.start()
        return other

    def crash(self):
        """Kills it, and starts it again."""
        self.program.kill()
        self.start()

    def end(self):
        return self.program.end()

    @property
    def log(self):
        return self.stage.path / f"{self.name}-proxy.log"

    def events(self):
        """Its log so far: one JSON object per line."""
        return [json.loads(line) for line in self.log.read_text(errors="replace").splitlines() if line.startswith("{")]

    def revoke(self, handle):
        """Ends one session, as an operator does."""
        self.stage.call([self.binary, "sessions", "revoke", handle, "--config", self.folder / "cloakroom.toml"])
