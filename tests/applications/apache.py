"""Debian's Apache with PHP, with a folder and a port of its own; the applications come with a piece of configuration each."""

import os
import signal

from stage import free_port

MODULES = "/usr/lib/apache2/modules"
CONFIGURATION = """
ServerRoot {folder}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
Mutex file:{folder}
ErrorLog {folder}.error.log
LogFormat "%t %s \\"%r\\"" asked
CustomLog {folder}/access.log asked
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_host_module {modules}/mod_authz_host.so
LoadModule access_compat_module {modules}/mod_access_compat.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule php_module {modules}/libphp{php}.so
{identity}
StartServers 4
MaxRequestWorkers 64
GracefulShutdownTimeout 10
TypesConfig /etc/mime.types
DirectoryIndex index.php
<FilesMatch "\\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
php_admin_value session.save_path {folder}/sessions
Include {included}
{settings}
"""


class Apache:
    def __init__(self, stage, name, included, settings):
        self.stage, self.name, self.port = stage, name, free_port()
        self.folder = stage.path / name
        (self.folder / "sessions").mkdir(parents=True)
        # As root it serves as www-data, which must reach its files; else as whoever runs this.
        stage.path.chmod(0o755)
        identity = "User www-data\nGroup www-data" if os.getuid() == 0 else ""
        module = next(name for name in sorted(os.listdir(MODULES)) if name.startswith("libphp"))
        (self.folder / "apache.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                port=self.port,
                modules=MODULES,
                php=module.removeprefix("libphp").removesuffix(".so"),
                identity=identity,
                included=included,
                settings=settings,
            )
        )
        self.hand_over()
        self.program = None

    def hand_over(self):
        """Gives its folder to the user as whom it serves."""
        if os.getuid() == 0:
            self.stage.call(["chown", "-R", "www-data:www-data", self.folder])

    def start(self):
        command = ["apache2", "-f", self.folder / "apache.conf", "-DFOREGROUND"]
        self.program = self.stage.start(self.name, command, self.port)

    def restart(self):
        """As `systemctl restart` does: requests under way finish, or PHP's sessions would be cut off half written."""
        self.program.end(signal.SIGWINCH)
        self.start()
