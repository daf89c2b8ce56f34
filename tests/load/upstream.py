"""The application that tests/load/run puts behind the proxy: it answers every head with the same two bytes."""

import asyncio
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Application(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.heard = transport, b""

    def data_received(self, data):
        *heads, self.heard = (self.heard + data).split(b"\r\n\r\n")
        if heads:
            self.transport.write(ANSWER * len(heads))


async def main():
    server = await asyncio.get_running_loop().create_server(Application, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
