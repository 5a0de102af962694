"""TLS in front of any server: certificates of an authority of the test's own, and a proxy that has them."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


class Authority:
    """Makes certificates; `file` is what clients have to trust."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def client_certificate(self) -> Path:
        """Certificate and key of a client, in one file."""
        file = self._folder / "client.pem"
        self._authority.issue_cert("client@hermes.test").private_key_and_cert_chain_pem.write_to_path(str(file))
        return file

    def server_context(self, *, name: str = "localhost", expired: bool = False, asks: bool = False) -> ssl.SSLContext:
        """What a server of that name would use; `asks`: only clients with a certificate are let in."""
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        certificate = self._authority.issue_cert(name, not_after=until)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        if asks:
            self._authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


class TlsProxy:
    """Speaks TLS on `port` and passes on what it reads to a plain server of this machine, and back."""

    def __init__(self, context: ssl.SSLContext, target_port: int) -> None:
        self._context = context
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(plain,), daemon=True).start()

    def _greet(self, plain: socket.socket) -> None:
        client = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        try:
            client.do_handshake()
            server = socket.create_connection(("127.0.0.1", self._target_port))
        except OSError:  # the client does not like us, or we do not like it
            _hang_up(client)
            return
        self._open += [client, server]
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except (OSError, ValueError):
        pass
    finally:
        source.close()
        sink.close()


def _hang_up(client: socket.socket) -> None:
    """Let the client read why: what it still sends must not meet a closed socket."""
    try:
        client.settimeout(2)
        socket.socket.shutdown(client, socket.SHUT_WR)
        while socket.socket.recv(client, 65536):
            pass
    except OSError:
        pass
    finally:
        client.close()
