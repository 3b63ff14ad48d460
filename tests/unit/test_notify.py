"""Who is told that a sweep has ended: through a real mail server, a real sendmail command and a real web server."""

from __future__ import annotations

import email
import email.policy
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from sweep import notify
from sweep.settings import NotifySettings

TO = ["staff@site.example", "boss@site.example"]
TEXT = "1 newly broken\n.\n  pytorch-2.8-cuda12.9-sm70: works → crashed\n"


class Mailbox:
    """Keeps what an SMTP server receives."""

    def __init__(self) -> None:
        self.received: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server, session, envelope) -> str:
        self.received.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, f"127.0.0.1:{port}"
    controller.stop()


@pytest.fixture
def hook() -> Iterator[tuple[list[bytes], str]]:
    """What a web server was sent, and its address; it refuses what is sent to /refused."""
    got: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(403 if self.path == "/refused" else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield got, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def told(settings: NotifySettings, subject: str = "1 newly broken") -> list[str]:
    """What `tell` complained of."""
    said: list[str] = []
    notify.tell(settings, subject, TEXT, said.append)
    return said


def read(content: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def test_a_mail_goes_to_everybody_through_the_server(mailbox: tuple[Mailbox, str]) -> None:
    box, server = mailbox
    assert told(NotifySettings(mail=TO, mail_from="sweep@site.example", smtp=server)) == []
    ((recipients, content),) = box.received
    message = read(content)
    assert recipients == TO
    assert (message["Subject"], message["From"]) == ("1 newly broken", "sweep@site.example")
    assert message.get_content().replace("\r\n", "\n") == TEXT


def test_a_mail_goes_through_the_sites_sendmail(tmp_path: Path) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/message\n')
    sendmail.chmod(0o755)
    assert told(NotifySettings(mail=TO, sendmail=sendmail)) == []
    assert (tmp_path / "arguments").read_text().split() == ["-t", "-i"]
    message = read((tmp_path / "message").read_bytes())
    assert message["To"] == ", ".join(TO)
    assert message.get_content() == TEXT


def test_what_a_sweep_says_cannot_write_headers(mailbox: tuple[Mailbox, str]) -> None:
    box, server = mailbox
    hostile = "broken\r\nBcc: everybody@else.example\r\n\r\nbody \x1b[31m" + "x" * 1000
    assert told(NotifySettings(mail=TO, mail_from="a@b.example", smtp=server), hostile) == []
    ((recipients, content),) = box.received
    assert recipients == TO
    assert read(content)["Bcc"] is None
    assert len(read(content)["Subject"]) <= 200


def test_a_webhook_gets_the_summary_as_json(tmp_path: Path, hook: tuple[list[bytes], str]) -> None:
    got, address = hook
    (tmp_path / "hook").write_text(f"{address}/services/secret\n")
    assert told(NotifySettings(webhook_file=tmp_path / "hook")) == []
    (content,) = got
    assert json.loads(content) == {"text": f"1 newly broken\n{TEXT}"}


def test_what_does_not_work_is_said_without_the_secret_address(tmp_path: Path, hook: tuple[list[bytes], str]) -> None:
    _, address = hook
    (tmp_path / "hook").write_text(f"{address}/refused")
    settings = NotifySettings(mail=TO, sendmail=tmp_path / "absent", webhook_file=tmp_path / "hook")
    mail, webhook = told(settings)
    assert mail.startswith("mail: nobody was told: FileNotFoundError")
    assert webhook == "webhook: nobody was told: the server answered 403 Forbidden"


def test_a_webhook_with_a_blank_in_it_or_one_that_is_no_web_server_is_said_without_its_address(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].sendall(b"nonsense\r\n"), daemon=True).start()
        for address in ("http://127.0.0.1/a secret", f"http://127.0.0.1:{server.getsockname()[1]}/secret"):
            (tmp_path / "hook").write_text(address)
            (said,) = told(NotifySettings(webhook_file=tmp_path / "hook"))
            assert said.startswith("webhook: nobody was told: ")
            assert "secret" not in said


@pytest.mark.parametrize("content", ["", "file:///etc/passwd", "site.example/hook", "\udcff"])
def test_only_an_address_is_posted_to(tmp_path: Path, content: str) -> None:
    (tmp_path / "hook").write_bytes(content.encode("utf-8", "surrogateescape"))
    (said,) = told(NotifySettings(webhook_file=tmp_path / "hook"))
    assert "notify.webhook_file" in said
    assert "passwd" not in said


def test_a_server_that_does_not_answer_and_a_sendmail_that_fails_are_said(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("http://127.0.0.1:1/secret")
    sendmail = tmp_path / "sendmail"
    sendmail.write_text("#!/bin/sh\necho 'queue \x1b[31mfull' >&2\nexit 75\n")
    sendmail.chmod(0o755)
    mail, webhook = told(NotifySettings(mail=TO, sendmail=sendmail, webhook_file=tmp_path / "hook"))
    assert "ended with code 75: queue" in mail
    assert "\x1b" not in mail
    assert webhook.startswith("webhook: nobody was told: the server cannot be reached")
    assert "secret" not in webhook


def test_nobody_is_told_unasked() -> None:
    assert told(NotifySettings()) == []
