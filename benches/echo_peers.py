"""Echo servers in Python, beside those of src/bin/echo_server, which says what they have in common.

Usage: python3 echo_peers.py uvloop|gevent [buffer_bytes]

Not counted: what it costs to import. asyncio's streams have buffers of their own and are read from those.
"""

import socket
import sys

BUFFER_BYTES = 16 * 1024 + 64
BACKLOG = 4096


def listen():
    """A listener like those of all others; says where the clients find it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(listener.getsockname()[1], flush=True)
    return listener


def serve_with_uvloop(buffer_bytes):
    import asyncio

    import uvloop

    async def echo(reader, writer):
        try:
            while received := await reader.read(buffer_bytes):
                writer.write(received)
                await writer.drain()
        except ConnectionError:
            # A client that breaks off is the end of a connection like any other.
            pass
        finally:
            writer.close()

    async def serve():
        server = await asyncio.start_server(echo, sock=listen(), backlog=BACKLOG)
        await server.serve_forever()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def serve_with_gevent(buffer_bytes):
    from gevent import socket as green
    from gevent.server import StreamServer

    def echo(connection, _address):
        try:
            while received := connection.recv(buffer_bytes):
                connection.sendall(received)
        except ConnectionError:
            # A client that breaks off is the end of a connection like any other.
            pass

    plain = listen()
    listener = green.socket(fileno=plain.detach())
    listener.setblocking(False)
    StreamServer(listener, echo).serve_forever()


def main():
    serve = {"uvloop": serve_with_uvloop, "gevent": serve_with_gevent}[sys.argv[1]]
    try:
        serve(int(sys.argv[2]) if len(sys.argv) > 2 else BUFFER_BYTES)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
