// Notes every request that Node parsed whole, as a line of JSON in the file that LOG names.
import { appendFileSync } from "node:fs";
import http from "node:http";

const server = http.createServer({ maxHeaderSize: 1 << 18, keepAliveTimeout: 600_000 }, (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("error", () => {}); // a body that broke off is no request
  request.on("end", () => {
    const { method, url: target, rawHeaders: fields, rawTrailers: trailers } = request;
    const body = Buffer.concat(pieces).toString("latin1");
    appendFileSync(process.env.LOG, JSON.stringify({ method, target, fields, trailers, body }) + "\n");
    // After a wish to upgrade that was not granted Node's parser leaves errors unanswered.
    const connection = request.headers.upgrade ? "close" : "keep-alive";
    response.writeHead(200, { "X-Served": "yes", "Content-Length": 3, Connection: connection }).end("ok\n");
  });
});
// Node's own answer, but without the reset that overtakes it.
server.on("clientError", (_, socket) => socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"));
server.listen(Number(process.env.PORT), "127.0.0.1");
