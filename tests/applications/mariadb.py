"""A MariaDB server of our own, without passwords of the system's."""

import getpass

from stage import free_port


class MariaDB:
    def __init__(self, stage, folder):
        self.stage, self.port, self.socket = stage, free_port(), folder / "mysqld.sock"
        data, me = folder / "database", getpass.getuser()
        common = ["--no-defaults", f"--datadir={data}", f"--user={me}"]
        stage.call(["mariadb-install-db", *common, "--auth-root-authentication-method=normal", "--skip-test-db"])
        command = ["mariadbd", *common, f"--socket={self.socket}", "--bind-address=127.0.0.1", f"--port={self.port}"]
        stage.start("mariadb", [*command, "--innodb-flush-log-at-trx-commit=0"], self.port)

    def run(self, statements):
        self.stage.call(["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--execute", statements])
