"""The real servers: how each is started, how it shows an application what it parsed, and what it answers itself.

The latter, most of it refusals, is defined exactly: in every other case the application must have got the request.
"""

import getpass
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap

from gunicorn.http.message import RFC9110_5_3_SINGLETON_FIELDS
from stage import free_port

APPS = pathlib.Path(__file__).parent / "apps"
PYTHON = pathlib.Path(sys.executable).parent


def joined(fields, separator, key):
    """The fields as a server shows them that makes one line of several."""
    lines = {}
    for name, value in fields:
        if (shown := key(name)) is not None:
            lines.setdefault(shown, []).append(value)
    return {name: separator.join(values) for name, values in lines.items()}


OWN = ("CONTENT_TYPE", "CONTENT_LENGTH")


def variable(name, own=OWN):
    """The CGI variable of a field; those of `own` have a name of their own."""
    shown = name.upper().replace("-", "_")
    return shown if shown in own else f"HTTP_{shown}"


def cgi_variable(name, own=OWN):
    """The same for servers that leave out every name with anything but letters, digits and hyphens."""
    return variable(name, own) if re.fullmatch("[a-z0-9-]+", name) else None


def measured(due):
    """The fields of a server that reads a body in chunks whole, and then says how long it is."""
    chunked = ("transfer-encoding", "chunked")
    return [("content-length", str(len(due.body))) if field == chunked else field for field in due.fields]


def php_servers():
    """Those of all versions that are installed."""
    return sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))


def start_php(stage, folder):
    """PHP's own server for others, with the script that notes requests; returns its port and the script."""
    port, user, script = free_port(), getpass.getuser(), shutil.copy(APPS / "note.php", folder)
    pool = folder / "fpm.conf"
    pool.write_text(
        textwrap.dedent(f"""
        [global]
        error_log = {folder}/fpm-error.log
        [app]
        user = {user}
        listen = 127.0.0.1:{port}
        pm = static
        pm.max_children = 2
        php_admin_flag[enable_post_data_reading] = off
        """)
    )
    root = ["--allow-to-run-as-root"] if os.getuid() == 0 else []
    stage.start(f"php-{folder.name}", [php_servers()[-1], "--nodaemonize", "--fpm-config", pool, *root], port)
    return port, script


class Server:
    """One of them. `start` returns its port; the requests that it parsed are lines in `log`."""

    def __init__(self, stage):
        self.folder = stage.path / self.name
        self.folder.mkdir()
        stage.path.chmod(0o711)  # some servers give up root
        self.folder.chmod(0o777)
        self.log = self.folder / "parsed.log"
        self.port = free_port()
        self.start(stage)
        self.log.touch()
        self.log.chmod(0o666)
        self.lines = open(self.log, "rb")
        self.partial = b""

    def parsed(self):
        """The requests that it parsed since this was asked last."""
        *whole, self.partial = (self.partial + self.lines.read()).split(b"\n")
        return [json.loads(line) for line in whole]

    def shown(self, due):
        """The fields of a request as this server's applications see them."""
        raise NotImplementedError

    def seen(self, fields):
        return fields

    def answers(self, due):
        """With which status the server itself answers what is due, so that no application learns of it."""
        return None


class Gunicorn(Server):
    name = "gunicorn"

    def start(self, stage):
        command = [
            PYTHON / "gunicorn",
            "--bind",
            f"127.0.0.1:{self.port}",
            "--worker-class",
            "gthread",
            "--threads",
            "4",
            "--keep-alive",
            "600",
        ]
        command += [
            "--limit-request-line",
            "0",
            "--limit-request-fields",
            "1000",
            "--limit-request-field_size",
            "65536",
            "--no-control-socket",
        ]
        stage.start(self.name, [*command, "--chdir", APPS, "wsgi:app"], self.port, LOG=str(self.log))

    def shown(self, due):
        return joined(due.fields, ",", lambda name: None if "_" in name else variable(name))

    def answers(self, due):
        unusual = re.search("[a-z#]", due.method) or not 3 <= len(due.method) <= 20
        outside = re.search(r"[^\x21-\x7e]", due.target)
        twice = any(len(due.field(name.lower())) > 1 for name in RFC9110_5_3_SINGLETON_FIELDS)
        return 400 if unusual or outside or twice else None


class Waitress(Server):
    name = "waitress"

    def start(self, stage):
        command = [
            PYTHON / "waitress-serve",
            "--listen",
            f"127.0.0.1:{self.port}",
            "--threads",
            "4",
            "--channel-timeout",
            "600",
        ]
        command += ["--no-clear-untrusted-proxy-headers"]
        stage.start(self.name, [*command, "wsgi:app"], self.port, LOG=str(self.log), PYTHONPATH=str(APPS))

    def shown(self, due):
        return joined(measured(due), ", ", lambda name: None if "_" in name else variable(name))

    def answers(self, due):
        return 400 if due.method != due.method.upper() or not due.target.isascii() else None


class Node(Server):
    name = "Node"
    methods = None

    def start(self, stage):
        stage.start(self.name, ["node", APPS / "serve.mjs"], self.port, LOG=str(self.log), PORT=str(self.port))
        self.methods = set(json.loads(subprocess.check_output(["node", "-p", "JSON.stringify(http.METHODS)"])))

    def shown(self, due):
        return joined(due.fields, "\n", lambda name: name)

    def seen(self, fields):
        return joined(zip(fields[::2], fields[1::2]), "\n", str.lower)

    def answers(self, due):
        return 400 if due.method not in self.methods or not due.target.isascii() else None


def traversal(target):
    """What a server that resolves paths cannot: an encoding that is none, a NUL, or a way above the root."""
    path = target.partition("?")[0]
    if re.search("%(?![0-9a-fA-F]{2})", path):
        return "encoding"
    path = re.sub("%([0-9a-fA-F]{2})", lambda code: chr(int(code[1], 16)), path)
    if "\0" in path:
        return "nul"
    depth = 0
    for segment in path.split("/")[1:]:
        depth += {"..": -1, ".": 0}.get(segment, 1)
        if depth < 0:
            return "above"
    return None


class Nginx(Server):
    name = "nginx"

    def start(self, stage):
        php, script = start_php(stage, self.folder)
        config = self.folder / "nginx.conf"
        config.write_text(f"""
            daemon off;
            user {getpass.getuser()};
            worker_processes 1;
            pid {self.folder}/pid;
            error_log {self.folder}/error.log;
            events {{ }}
            http {{
                access_log off;
                client_body_temp_path {self.folder}/body;
                fastcgi_temp_path {self.folder}/fastcgi;
                proxy_temp_path {self.folder}/proxy;
                uwsgi_temp_path {self.folder}/uwsgi;
                scgi_temp_path {self.folder}/scgi;
                keepalive_timeout 600;
                keepalive_requests 1000000;
                large_client_header_buffers 8 64k;
                client_max_body_size 0;
                merge_slashes off;
                server {{
                    listen 127.0.0.1:{self.port};
                    location / {{
                        fastcgi_pass 127.0.0.1:{php};
                        fastcgi_param SCRIPT_FILENAME {script};
                        fastcgi_param REQUEST_METHOD $request_method;
                        fastcgi_param REQUEST_URI $request_uri;
                        fastcgi_param CONTENT_TYPE $content_type;
                        fastcgi_param CONTENT_LENGTH $content_length;
                    }}
                }}
            }}
            """)
        stage.start(self.name, ["nginx", "-c", config, "-e", self.folder / "error.log"], self.port)
        version = subprocess.run(["nginx", "-v"], stderr=subprocess.PIPE, text=True).stderr
        self.joins = [int(part) for part in re.search(r"/(\d+)\.(\d+)", version).groups()] >= [1, 23]

    def shown(self, due):
        lines = joined(due.fields, "\n", lambda name: cgi_variable(name, own=()))
        lines = {
            name: ", ".join(text.split("\n")) if self.joins else text.split("\n")[-1] for name, text in lines.items()
        }
        framed = due.field("content-length") or due.field("transfer-encoding")
        return {**lines, "CONTENT_LENGTH": str(len(due.body)) if framed else "", "CONTENT_TYPE": ""}

    def answers(self, due):
        if due.target == "*" or not re.fullmatch("[A-Z_-]+", due.method) or len(due.field("authorization")) > 1:
            return 400
        return 400 if traversal(due.target) else None


class Apache(Server):
    name = "Apache"

    def start(self, stage):
        php, script = start_php(stage, self.folder)
        modules = pathlib.Path("/usr/lib/apache2/modules")
        needed = ["mpm_event", "authz_core", "alias", "env", "proxy", "proxy_fcgi"]
        loads = "\n".join(f"LoadModule {name}_module {modules}/mod_{name}.so" for name in needed)
        config = self.folder / "apache.conf"
        config.write_text(f"""
            {loads}
            ServerRoot {self.folder}
            PidFile {self.folder}/pid
            Mutex file:{self.folder}
            ErrorLog {self.folder}/error.log
            ServerName differential.test
            Listen 127.0.0.1:{self.port}
            User www-data
            Group www-data
            KeepAliveTimeout 600
            MaxKeepAliveRequests 0
            LimitRequestLine 65536
            LimitRequestFieldSize 65536
            LimitRequestFields 1000
            AllowEncodedSlashes NoDecode
            MergeSlashes off
            AliasMatch "^" {script}
            <Directory {self.folder}>
                Require all granted
                CGIPassAuth On
                # A body in chunks is read whole, so that PHP is told how long it is.
                SetEnv proxy-sendcl 1
                SetHandler "proxy:fcgi://127.0.0.1:{php}"
            </Directory>
            """)
        stage.start(self.name, ["apache2", "-DFOREGROUND", "-f", config], self.port)

    def shown(self, due):
        hops = [(name, str(int(value) - 1) if name == "max-forwards" else value) for name, value in measured(due)]
        return joined(hops, ", ", cgi_variable)

    def answers(self, due):
        host = due.field("host")[0].partition(":")[0]
        if re.fullmatch("[0-9.]+", host) and not re.fullmatch(r"\d+(\.\d+){3}", host):
            return 400
        if fault := traversal(due.target):
            return {"encoding": 400, "above": 400, "nul": 404}[fault]
        ends_here = due.method == "OPTIONS" and due.field("max-forwards") == ["0"]
        return 200 if ends_here or due.target == "*" else None


ALL = [Gunicorn, Waitress, Node, Nginx, Apache]
