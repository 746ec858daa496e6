#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""gen-protocol.py BUILDDIR - print docs/protocol.md.

Numbers, payloads, answers and gates come from the table that the code runs on
(BUILDDIR/ci/dump-table); who sends and who serves a message, from the source;
since when it is, and which test looks at it, from ci/protocol.txt.  A test that
is named and is not there, or does not speak of the message, is a fault.
"""
import glob
import re
import subprocess
import sys

FIELDS = ("name id dir payload min max fds_min fds_max reply reply_payload "
          "reply_min reply_max reply_fds_min reply_fds_max gate").split()

HEAD = """# vhost-user, message by message

Generated from the table of messages by `ci/gen-protocol.py`: change that, or
`ci/protocol.txt`, and not this file.  `./test checks` compares.

*Front end* and *back end* say whether ours send or serve a message.  Sizes are
those of the payload, in bytes.  *ack*: with need_reply, where
`VHOST_USER_PROTOCOL_F_REPLY_ACK` is in use, a u64 that is 0 for success comes
back; *asked for* by our front end, or *required* by the protocol.  *Since* is the
release of QEMU whose specification has the message first.  Tests are under
`tests/`; fuzzers (`docs/testing.md`) send all of them.
"""

REPLIES = {
    "none": "ack",
    "covered": "ack; covered by a later answer",
    "ack": "ack, asked for",
    "must-ack": "ack, required",
    "postcopy": "ack, asked for; in postcopy the same again, with addresses",
    "log-shmfd": "u64, with LOG_SHMFD",
}


def span(low, high):
    return low if low == high else f"{low} to {high}"


def what(kind, low, high, fds_low, fds_high):
    text = kind if kind == "-" else f"{kind}, {span(low, high)}"
    fds = span(fds_low, fds_high)
    if fds == "0":
        return text
    fds += " fd" if fds == "1" or fds == "0 to 1" else " fds"
    return fds if text == "-" else f"{text}; {fds}"


def read_facts():
    facts = {}
    for line in open("ci/protocol.txt"):
        if line.strip() and not line.startswith("#"):
            name, since, tests = (word.strip() for word in line.split("|"))
            facts[name] = (since, tests.split())
    return facts


def sources(*patterns):
    return "\n".join(open(f).read() for p in patterns for f in glob.glob(p))


def who(row, front, back, served):
    """Does our front end, does our back end, have a part in it?"""
    if row["dir"] == "front":
        token = "VH_" + row["name"]
        return token_in(token, front), f"[{token}]" in served
    token = "VH_BACK_" + row["name"].removeprefix("BACKEND_")
    return token_in(token, front), token_in(token, back)


def token_in(token, text):
    return re.search(rf"\b{token}\b", text) is not None


def check_tests(name, tests, faults):
    plain = name.removeprefix("BACKEND_").lower()
    if not tests:
        faults.append(f"{name}: no test is named")
    for test in tests:
        try:
            text = open("tests/" + test).read().lower()
        except OSError:
            faults.append(f"{name}: there is no tests/{test}")
            continue
        if plain not in text:
            faults.append(f"{name}: tests/{test} does not speak of it")


def print_table(rows, facts, texts):
    print("| id | message | request | answer | gated by | front end | back end "
          "| since | tests |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        since, tests = facts[row["name"]]
        reply = REPLIES.get(row["reply"])
        if reply is None:
            reply = what(row["reply_payload"], row["reply_min"],
                         row["reply_max"], row["reply_fds_min"],
                         row["reply_fds_max"])
            reply = "empty" if reply == "-" else reply
        gate = row["gate"].removeprefix("VHOST_USER_PROTOCOL_F_")
        request = what(row["payload"], row["min"], row["max"], row["fds_min"],
                       row["fds_max"])
        front, back = ("yes" if x else "no" for x in who(row, *texts))
        names = ", ".join(t.removesuffix(".c") for t in tests)
        print(f"| {row['id']} | {row['name']} | {request} | {reply} | {gate} "
              f"| {front} | {back} | {since} | {names} |")


def main():
    out = subprocess.run([sys.argv[1] + "/ci/dump-table"], check=True,
                         capture_output=True, text=True).stdout
    rows = [dict(zip(FIELDS, line.split("\t"))) for line in out.splitlines()]
    facts = read_facts()
    faults = [f"{name}: not in the table"
              for name in facts.keys() - {r["name"] for r in rows}]
    faults += [f"{r['name']}: not in ci/protocol.txt" for r in rows
               if r["name"] not in facts]
    for name, (_, tests) in facts.items():
        check_tests(name, tests, faults)
    if faults:
        sys.exit("\n".join(faults))
    texts = (sources("src/backend/user/*.c", "src/core/*.c"),
             sources("src/server/*.c"), open("src/server/session.c").read())
    print(HEAD)
    print("## Front end to back end\n")
    print_table([r for r in rows if r["dir"] == "front"], facts, texts)
    print("\n## Back end to front end, on the second channel\n")
    print_table([r for r in rows if r["dir"] == "back"], facts, texts)


main()
