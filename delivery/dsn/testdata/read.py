"""Reads a delivery report from standard input as strictly as its RFCs are
written, and prints what it says as JSON: a second opinion on what we write,
by another language's mail library and by the grammar of RFC 3464, section 2."""
import email, email.policy, email.utils, json, re, sys

raw = sys.stdin.buffer.read()
faults = []

def must(ok, what):
    if not ok:
        faults.append(what)

must(b"\n" not in raw.replace(b"\r\n", b"") and b"\r" not in raw.replace(b"\r\n", b""), "line ends are not CRLF")
must(all(len(l) <= 998 for l in raw.split(b"\r\n")), "a line is too long")
ascii_head = all(c < 128 for c in raw.split(b"\r\n\r\n", 1)[0])
msg = email.message_from_bytes(raw, policy=email.policy.SMTPUTF8)

def defects(part, where):
    for d in part.defects:
        must(False, f"{where}: {d!r}")
    for name, value in part.items():
        for d in getattr(value, "defects", []):
            must(False, f"{where}: {name}: {d!r}")

defects(msg, "report")
for name in ("From", "To", "Date", "Subject", "Message-ID", "MIME-Version", "Content-Type"):
    must(len(msg.get_all(name) or []) == 1, f"{name} does not stand there once")
must(msg["Auto-Submitted"] in ("auto-replied", "auto-generated"), "Auto-Submitted (RFC 3834)")
must(msg.get_content_type() == "multipart/report", "not multipart/report (RFC 6522)")
must(msg["Content-Type"].params.get("report-type") == "delivery-status", "report-type")
parts = list(msg.iter_parts()) if msg.is_multipart() else []
must(2 <= len(parts) <= 3, "two or three parts (RFC 6522, section 3)")
types = [p.get_content_type() for p in parts]
for n, p in enumerate(parts):
    defects(p, f"part {n}")
must(types[0] == "text/plain", "the first part is for people")
is_global = types[1] == "message/global-delivery-status"
must(is_global or types[1] == "message/delivery-status", "the second part is the status")
if len(parts) > 2:
    must(types[2] in (("message/global", "message/global-headers") if is_global else ("message/rfc822", "text/rfc822-headers")),
         f"{types[2]} beside {types[1]} (RFC 6533, section 4)")
must(is_global or ascii_head, "8 bits in the header without SMTPUTF8")

# The status part as octets: between its empty line and the next boundary.
boundary = b"\r\n--" + msg.get_boundary().encode()
body = raw.split(boundary)[2].split(b"\r\n\r\n", 1)[1]
if not is_global:
    must(all(c < 128 for c in body), "8 bits in message/delivery-status")

TYPED = re.compile(r"^[A-Za-z0-9-]+; ?\S.*$")
STATUS = re.compile(r"^[245]\.\d{1,3}\.\d{1,3}$")
ORDER = {
    "message": ["original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date"],
    "recipient": ["original-recipient", "final-recipient", "action", "status", "remote-mta", "diagnostic-code",
                  "last-attempt-date", "final-log-id", "will-retry-until"],
}
NEEDED = {"message": ["reporting-mta"], "recipient": ["final-recipient", "action", "status"]}

def fields(block, kind):
    out = {}
    lines = re.sub(r"\r\n[ \t]+", " ", block).split("\r\n")
    at = -1
    for line in lines:
        m = re.match(r"^([!-9;-~]+): ?(.*)$", line)
        if not m:
            must(False, f"no field: {line!r}")
            continue
        name, value = m[1].lower(), m[2]
        must(name not in out, f"{name} stands there twice")
        must(value.strip() != "", f"{name} is empty")
        out[name] = value
        if name in ORDER[kind]:
            must(ORDER[kind].index(name) > at, f"{name} is out of order")
            at = ORDER[kind].index(name)
        else:
            must(name.startswith("x-"), f"{name} is not known here")
        if name in ("reporting-mta", "received-from-mta", "remote-mta", "original-recipient", "final-recipient", "diagnostic-code"):
            must(TYPED.match(value), f"{name}: {value!r} has no type")
        if name.endswith("-date") or name == "will-retry-until":
            try:
                must(email.utils.parsedate_to_datetime(value).utcoffset() is not None, f"{name}: no zone")
            except Exception as e:
                must(False, f"{name}: {value!r}: {e}")
    for name in NEEDED[kind]:
        must(name in out, f"no {name}")
    return out

blocks = [b for b in body.decode("utf-8").strip("\r\n").split("\r\n\r\n")]
message, recipients = fields(blocks[0], "message"), [fields(b, "recipient") for b in blocks[1:]]
must(len(recipients) > 0, "no recipient")
for r in recipients:
    status, action = r.get("status", ""), r.get("action", "")
    must(STATUS.match(status), f"status {status!r}")
    must(action in ("failed", "delayed", "delivered", "relayed", "expanded"), f"action {action!r}")
    must({"failed": "45", "delayed": "4"}.get(action, "2").find(status[:1]) >= 0, f"{action} with {status}")
    kind, _, to = r.get("final-recipient", "").partition(";")
    must(kind == "rfc822" and to.isascii() or kind == "utf-8" and is_global, f"final-recipient {kind}")
    if r.get("diagnostic-code", "").startswith("smtp;"):
        must(re.match(r"^smtp; ?[245]\d\d[ -]", r["diagnostic-code"]), f"diagnostic {r['diagnostic-code']!r}")
    must(action == "delayed" or "will-retry-until" not in r, "will-retry-until of what is not delayed")

json.dump({
    "faults": faults, "types": types, "message": message, "recipients": recipients,
    "subject": str(msg["Subject"]), "to": str(msg["To"]), "references": str(msg["References"]),
    "words": parts[0].get_content(), "returned": parts[2].as_bytes().decode("utf-8", "replace") if len(parts) > 2 else "",
}, sys.stdout)
