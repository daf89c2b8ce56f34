"""The peers, and what stands behind them: each a configuration file and a command.

All of them listen on 127.0.0.1, log no requests, close no connection by themselves, and are given the same certificate.
"""

import hashlib
import resource
from pathlib import Path

# The backend's small answer.
ANSWER = "x" * 123 + "\\n"
DATA = '{"user":{"name":"ada.lovelace","roles":["buyer","reviewer"]},"cart":[{"sku":"A-1000","count":2}],"theme":"dark"}'
# A token with a session in it is longer than this, one without is shorter; the run proves both.
LONG_TOKEN = 330
ROOT = hashlib.sha256(b"bench root").digest()
TOKEN_KEY = hashlib.sha256(b"bench token key").digest()


def write(path, text):
    path.write_text(text)
    return path


def certificate(folder, run):
    """Self-signed certificates for localhost: one that is quick to sign with, and one (`rsa-`) that is not."""
    for kind, key in ("", ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa-", ["rsa:4096"]):
        cert, key_file, both = (folder / f"{kind}{name}.pem" for name in ("cert", "key", "both"))
        run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key_file), "-out", str(cert)])
        both.write_text(cert.read_text() + key_file.read_text())


def kind(case):
    """What the names of the certificate of this case begin with."""
    return "rsa-" if case.rsa else ""


def backend(folder, plain, checked, data=DATA):
    """The application: nginx with answers of fixed sizes. On `checked` a request without a session's token fails."""
    static = folder / "static"
    static.mkdir(exist_ok=True)
    for name, size in (("1k", 1 << 10), ("16k", 1 << 14), ("1m", 1 << 20)):
        (static / name).write_bytes(b"y" * size)
    def places(check):
        return f"""
      root {static};
      default_type text/plain;
      location = / {{ {check} return 200 "{ANSWER}"; }}
      location = /write {{
        {check}
        add_header X-Session-Update '{{"last":"$request_id"}}';
        add_header X-Replace-Session 'user=ada.lovelace&roles=buyer+reviewer&last=$request_id';
        return 200 "{ANSWER}";
      }}
      location = /vault {{ {check} {vaulted if check else ""} return 200 "{ANSWER}"; }}
      location = /login {{
        add_header X-Session-Update '{data}';
        add_header X-Replace-Session 'user=ada.lovelace&roles=buyer+reviewer&sku=A-1000&count=2&theme=dark';
        return 200 "{ANSWER}";
      }}
      location = /vault-login {{
        add_header X-Session-Update '{data}';
        add_header Set-Cookie "PHPSESSID=$request_id; Path=/; HttpOnly";
        return 200 "{ANSWER}";
      }}
      location = /echo {{ return 200 "$http_x_session"; }}
      location = /status {{ stub_status; }}
    """
    unknown = "if ($unknown = yes) { return 500; }"
    vaulted = "if ($vaulted = no) { return 500; }"
    write(folder / "backend.conf", f"""
    worker_processes 1; daemon off; pid {folder}/backend.pid; error_log {folder}/backend.err warn;
    events {{ worker_connections 8192; }}
    http {{
      access_log off; keepalive_timeout 600s; keepalive_requests 1000000000; sendfile on; tcp_nopush on;
      open_file_cache max=16; client_body_temp_path {folder}/b1; proxy_temp_path {folder}/b2;
      fastcgi_temp_path {folder}/b3; uwsgi_temp_path {folder}/b4; scgi_temp_path {folder}/b5;
      map $http_x_session $unknown {{ default yes; "~^.{{{LONG_TOKEN}}}" no; }}
      map $http_cookie $vaulted {{ default no; "~PHPSESSID=" yes; }}
      server {{ listen 127.0.0.1:{plain} backlog=4096; {places("")} }}
      server {{ listen 127.0.0.1:{checked} backlog=4096; {places(unknown)} }}
    }}""")
    return ["nginx", "-c", str(folder / "backend.conf"), "-e", str(folder / "backend.err")]


def redis(folder, port):
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--dir", str(folder), "--daemonize", "no"]


def nginx(folder, port, upstream, case):
    tls = " ssl" if case.tls else ""
    h2 = " http2" if case.http == 2 else ""
    write(folder / "nginx.conf", f"""
    worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err warn;
    events {{ worker_connections 12000; }}
    http {{
      access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;
      client_body_temp_path {folder}/n1; proxy_temp_path {folder}/n2; fastcgi_temp_path {folder}/n3;
      uwsgi_temp_path {folder}/n4; scgi_temp_path {folder}/n5; proxy_max_temp_file_size 0;
      ssl_certificate {folder}/{kind(case)}cert.pem; ssl_certificate_key {folder}/{kind(case)}key.pem; ssl_protocols TLSv1.3;
      upstream app {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s; }}
      server {{
        listen 127.0.0.1:{port}{tls}{h2} backlog=4096;
        location / {{
          proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
        }}
      }}
    }}""")
    return ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.err")]


def haproxy(folder, port, upstream, case):
    tls = f" ssl crt {folder}/{kind(case)}both.pem ssl-min-ver TLSv1.3 alpn h2,http/1.1" if case.tls else ""
    h2 = " proto h2" if case.http == 2 and not case.tls else ""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    write(folder / "haproxy.cfg", f"""
global
  nbthread 1
  maxconn {min(10100, files // 2 - 150)}
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend in
  bind 127.0.0.1:{port}{tls}{h2}
  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
  default_backend app
backend app
  server app 127.0.0.1:{upstream} pool-max-conn -1 pool-purge-delay 600s
""")
    return ["haproxy", "-f", str(folder / "haproxy.cfg"), "-db"]


def apache(folder, port, upstream, case):
    modules = {"mpm_event", "unixd", "authz_core", "proxy", "proxy_http", "session", "session_cookie", "headers", "env"}
    tls = ""
    if case.tls:
        modules |= {"ssl", "socache_shmcb"}
        tls = f"SSLEngine on\nSSLCertificateFile {folder}/{kind(case)}cert.pem\nSSLCertificateKeyFile {folder}/{kind(case)}key.pem\nSSLProtocol TLSv1.3"
    if case.http == 2:
        modules.add("http2")
        tls += "\nProtocols h2 h2c http/1.1"
    path = "/usr/lib/apache2/modules"
    loads = "\n".join(f"LoadModule {name}_module {path}/mod_{name}.so"
                      for name in sorted(modules) if Path(f"{path}/mod_{name}.so").exists())
    session = """
Session On
SessionCookieName session path=/
SessionHeader X-Replace-Session
SessionEnv On
RequestHeader set X-Session "expr=%{env:HTTP_SESSION}"
""" if case.session else ""
    write(folder / "apache.conf", f"""
{loads}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.err
User www-data
Group www-data
DefaultRuntimeDir {folder}
Listen 127.0.0.1:{port}
StartServers 4
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
MinSpareThreads 1
MaxSpareThreads 256
AsyncRequestWorkerFactor 64
KeepAlive On
KeepAliveTimeout 600
MaxKeepAliveRequests 0
{tls}
{session}
ProxyPass / http://127.0.0.1:{upstream}/ keepalive=On
""")
    return ["apache2", "-f", str(folder / "apache.conf"), "-DFOREGROUND"]


def cloakroom(folder, port, upstream, case, binary, redis_port):
    stores = {"memory": "memory:", "file": f"file:{folder}/sessions.db", "redis": f"redis://127.0.0.1:{redis_port}/0"}
    (folder / "root").write_bytes(ROOT)
    (folder / "token").write_bytes(TOKEN_KEY)
    tls = f'tls = {{ certificate = "{kind(case)}cert.pem", key = "{kind(case)}key.pem" }}' if case.tls else ""
    session = "true" if case.session else "false"
    vault = 'vault = { cookies = ["PHPSESSID"] }' if case.session == "vault" else ""
    write(folder / "cloakroom.toml", f"""
[listen]
address = "127.0.0.1:{port}"
{tls}
[token]
keys = [{{ id = "k1", file = "token" }}]
[keys]
root = [{{ file = "root" }}]
[store]
url = "{stores[case.store]}"
timeout = "2s"
save_timeout = "4s"
[upstreams.app]
servers = ["http://127.0.0.1:{upstream}"]
idle_timeout = "600s"
[[routes]]
path = "/"
upstream = "app"
session = {session}
{vault}
[limits]
idle_timeout = "600s"
connections = 12000
""")
    return [str(binary), "run", "--config", str(folder / "cloakroom.toml"), "--log", "warn"]
