"""Messages of terminals as their hosts log them, in each of the three forms."""

import copy

import iso8583
from iso8583.specs import default_ascii

# The packed form, written for pyiso8583: an oracle that shares no line with the reader.
PACKED = copy.deepcopy(default_ascii)
for _name, _field in PACKED.items():
    if _name in ("h", "t", "p", "1"):
        _field["data_enc"] = "b"
        _field["max_len"] = {"h": 0, "t": 2, "p": 8, "1": 8}[_name]
    elif int(_name) in (52, 64, 128):
        _field["data_enc"], _field["max_len"] = "b", 8
    elif int(_name) in (*range(37, 48), *range(49, 53), *range(54, 60), 62, 63):
        _field["len_enc"], _field["len_type"] = "bcd", (_field["len_type"] + 1) // 2
    else:
        _field["data_enc"], _field["len_enc"], _field["len_count"] = "b", "bcd", "nibbles"
        _field["right_pad"], _field["len_type"] = "0", (_field["len_type"] + 1) // 2

SALE = {
    "t": "0200", "2": "6212345678901232", "3": "000000", "4": "000000001234", "11": "000001", "12": "100000",
    "13": "1111", "22": "051", "25": "00", "41": "10000001", "42": "898110000000037", "49": "156", "60": "22000001",
}  # fmt: skip
ANSWER = {
    "t": "0210", "3": "000000", "4": "000000001234", "11": "000001", "12": "100000", "13": "1111", "25": "00",
    "37": "631500000001", "38": "123456", "39": "00", "41": "10000001", "42": "898110000000037", "49": "156",
    "60": "22000001",
}  # fmt: skip


def ascii_line(message: dict[str, str]) -> bytes:
    raw, _ = iso8583.encode(dict(message), default_ascii)
    return bytes(raw)


def hex_line(message: dict[str, str]) -> bytes:
    return ascii_line(message).hex().encode()


def packed_line(message: dict[str, str], header: str = "") -> bytes:
    raw, _ = iso8583.encode(dict(message), PACKED)
    return header.encode() + bytes(raw).hex().upper().encode()


def changed(message: dict[str, str], **elements: str | None) -> dict[str, str]:
    """A message with other elements: `e4="…"` sets, `e4=None` takes away."""
    found = dict(message)
    for name, value in elements.items():
        if value is None:
            found.pop(name.removeprefix("e"), None)
        else:
            found[name.removeprefix("e")] = value
    return found


def log_file(*lines: bytes, end: bytes = b"\n") -> bytes:
    return end.join(lines) + end
