"""Tells people that a sweep has ended: by the site's mail and by a webhook, where the settings ask for it.

What cannot be told is said to whoever runs this, and harms nothing: the tables are on disk.
"""

from __future__ import annotations

import http.client
import json
import smtplib
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlsplit

from sweep.errors import SettingsError
from sweep.model import visible
from sweep.settings import NotifySettings

_FAILURES = (
    OSError,
    SettingsError,
    ValueError,
    smtplib.SMTPException,
    subprocess.SubprocessError,
    http.client.HTTPException,
)
_PATIENCE = 30.0  # seconds, for a mail server or a webhook to answer


def tell(settings: NotifySettings, subject: str, text: str, say: Callable[[str], None]) -> None:
    """Send a sweep's summary to everybody whom the settings name; `say` hears what did not work.

    `subject` becomes the mail's, one line; `text` the body.
    """
    for kind, wanted, send in (
        ("mail", bool(settings.mail), _mail),
        ("webhook", settings.webhook_file is not None, _post),
    ):
        if not wanted:
            continue
        try:
            send(settings, subject, text)
        except _FAILURES as error:
            say(f"{kind}: nobody was told: {_words(error)}")


def _mail(settings: NotifySettings, subject: str, text: str) -> None:
    message = EmailMessage()
    message["Subject"] = " ".join(visible(subject).split())[:200]
    message["To"] = ", ".join(settings.mail)
    if settings.mail_from:
        message["From"] = settings.mail_from
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content(text)
    if settings.smtp is None:
        # -i: a dot alone on a line does not end the message.
        command = [str(settings.sendmail), "-t", "-i"]
        subprocess.run(command, input=bytes(message), check=True, capture_output=True, timeout=_PATIENCE)
        return
    host, _, port = settings.smtp.rpartition(":")
    with smtplib.SMTP(host, int(port), timeout=_PATIENCE) as server:
        server.send_message(message)


def _post(settings: NotifySettings, subject: str, text: str) -> None:
    """One JSON object with a `text`, as chat systems take it."""
    assert settings.webhook_file is not None
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked where the address is read
        _address(settings.webhook_file),
        data=json.dumps({"text": f"{subject}\n{text}"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_PATIENCE):  # noqa: S310
        pass


def _address(file: Path) -> str:
    """The webhook's address: whoever knows it can post, so it stands in a file of its own and in no message.

    Raises:
        SettingsError: the file cannot be read or holds no address.
    """
    try:
        address = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"notify.webhook_file = {str(file)!r} cannot be read: {error}") from error
    if urlsplit(address).scheme not in ("http", "https"):
        raise SettingsError(f"notify.webhook_file = {str(file)!r} holds no http or https address")
    return address


def _words(error: BaseException) -> str:
    """What went wrong, without the webhook's address."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server cannot be reached: {error.reason}"
    if isinstance(error, http.client.HTTPException):
        return type(error).__name__  # its text has the address
    if isinstance(error, subprocess.CalledProcessError):
        said = visible(error.stderr.decode(errors="replace"))[:300]
        return f"{error.cmd[0]} ended with code {error.returncode}: {said}"
    return f"{type(error).__name__}: {error}"
