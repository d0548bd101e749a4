# SPDX-License-Identifier: Apache-2.0
"""What the documents list, compared with the sources and the program; and the blocks of a page."""
import fnmatch
import glob
import os
import re
import shutil
import subprocess
from collections import namedtuple

PAGES = ["README.md"] + sorted(glob.glob("docs/*.md"))
FOLDERS = ["base", "io", "proto", "store", "sign", "ocsp-cache", "api", "est-adapter", "tools", "tests", "bench"]
CLIENT = {"dir", "server", "ca-file", "cert", "key", "token-file", "json"}
agreed = 0

Block = namedtuple("Block", "line language mark text")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def documents():
    skip = {".git", "build", ".prefix", ".work", "node_modules"}
    for folder, below, names in os.walk("."):
        below[:] = sorted(n for n in below if n not in skip)
        yield from (os.path.relpath(os.path.join(folder, n)) for n in sorted(names) if n.endswith(".md"))


def blocks(path):
    language, found, mark = None, [], ""
    for number, line in enumerate(read(path).split("\n"), 1):
        if language is None and line.startswith("```"):
            language, begin, text = line[3:].strip(), number, []
        elif language is not None and line.startswith("```"):
            found.append(Block(begin, language, mark, "\n".join(text) + "\n"))
            language, mark = None, ""
        elif language is not None:
            text.append(line)
        elif line.strip() and not line.startswith("<!-- test: needs:"):
            comment = re.fullmatch(r"<!-- test: (.*) -->", line.strip())
            mark = comment[1] if comment else ""
    if language is not None:
        raise SystemExit("%s:%d: the block has no end" % (path, begin))
    return found


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


def missing_programs(path):
    needs = re.findall(r"^<!-- test: needs: (.*) -->$", read(path), re.M)
    return [p for p in " ".join(needs).split() if shutil.which(p) is None]


def sections(text):
    """Each heading and what stands below it, up to the next one."""
    parts = re.split(r"^#+ +(.*)$", without_blocks(text), flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


def first_cells(text):
    rows = re.findall(r"^\| *(.*?) *\|", text, re.M)
    return [c for row in rows for c in re.findall(r"`([^`]+)`", row)]


def compare(what, documented, real):
    global agreed
    agreed += 1
    documented, real = set(documented), set(real)
    return (["%s: not documented: %s" % (what, x) for x in sorted(real - documented)] +
            ["%s: documented, but not there: %s" % (what, x) for x in sorted(documented - real)])


# ---- links and paths ----

def slug(heading):
    text = re.sub(r"[^\w\- ]", "", heading.replace("`", "").strip().lower())
    return text.replace(" ", "-")


def check_links():
    global agreed
    for path in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(read(path))):
            agreed += 1
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
            if not os.path.exists(file):
                yield "%s: there is no %s" % (path, target)
            elif anchor and anchor not in [slug(h) for h, _ in sections(read(file))]:
                yield "%s: %s has no such heading" % (path, target)


def check_paths():
    """Paths of this tree that the documents name in backquotes."""
    global agreed
    top = "|".join(re.escape(f) for f in FOLDERS + ["cmake", "docs"])
    for path in documents():
        for name in re.findall(r"`((?:%s)/[\w./*-]+)`" % top, without_blocks(read(path))):
            agreed += 1
            if not glob.glob(name):
                yield "%s: there is no %s" % (path, name)


def check_indented():
    for path in PAGES:
        before = ""
        for number, line in enumerate(without_blocks(read(path)).split("\n"), 1):
            if re.match(r"    \S", line) and before == "":
                yield "%s: \"%s\" is not in a fenced block, and so is not tested" % (path, line.strip())
            before = line.strip()


# ---- folders ----

def check_folder(folder):
    path = folder + "/README.md"
    if not os.path.exists(path):
        yield "there is no " + path
        return
    named = re.findall(r"`([\w./*-]+)`", read(path))
    files = [os.path.basename(f) for f in glob.glob(folder + "/*.[ch]") + glob.glob(folder + "/sealmill/v1/*.proto")]
    stems = {re.sub(r"_p$", "", os.path.splitext(f)[0]) for f in files}
    patterns = [os.path.splitext(os.path.basename(n))[0] for n in named if "." in n]
    for stem in sorted(stems):
        if not any(fnmatch.fnmatch(stem, p) or fnmatch.fnmatch(stem + "_p", p) for p in patterns):
            yield "%s does not name %s" % (path, stem)
    for name in named:
        if re.fullmatch(r"[\w*-]+\.[ch]", name) and not fnmatch.filter(files, name) and not glob.glob("*/" + name) and not glob.glob("tests/*/" + name):
            yield "%s: there is no %s" % (path, name)


def check_folders():
    global agreed
    for folder in FOLDERS:
        agreed += 1
        yield from check_folder(folder)


def check_index():
    listed = [os.path.normpath("docs/" + t) for t in re.findall(r"\]\(([^)#]+\.md)\)", read("docs/README.md"))]
    return compare("docs/README.md", [p for p in listed if p.startswith("docs/")], [p for p in PAGES[1:] if p != "docs/README.md"])


# ---- the configuration ----

def proto_messages():
    """Message's name -> {field: type}, of every .proto; inner enums are left out."""
    found = {}
    # The configuration's last: where another package has a message of the same name, the configuration's is meant.
    for path in sorted(glob.glob("proto/sealmill/v1/*.proto"), key=lambda p: p.endswith("/config.proto")):
        text = re.sub(r"//.*", "", read(path))
        text = re.sub(r"enum \w+ \{[^}]*\}", "", text)
        text = re.sub(r"oneof \w+ \{([^}]*)\}", r"\1", text)
        for name, body in re.findall(r"^message (\w+) \{([^}]*)\}", text, re.M):
            found[name] = {f: t.split(".")[-1] for t, f in re.findall(r"(?:repeated )?([\w.]+) (\w+) = \d+;", body)}
    return found


def reachable(messages, name, found):
    if name in messages and name not in found and name != "KeyFacts":  # that is in answers alone
        found.append(name)
        for kind in messages[name].values():
            reachable(messages, kind, found)
    return found


def message_at(messages, path):
    """The message that a heading's path such as `listeners.tls` leads to."""
    name = "Config"
    for key in path.split("."):
        name = messages.get(name, {}).get(key)
    return name


def check_configuration():
    """A section for each message, with its path in backquotes as the heading, and a row for each key."""
    messages = proto_messages()
    wanted = reachable(messages, "Config", [])
    documented = {"Config": []}
    for heading, text in sections(read("docs/configuration.md")):
        if heading == "Top level":
            documented["Config"] = first_cells(text)
        for path in re.findall(r"`([a-z0-9_.]+)`", heading):
            documented[message_at(messages, path) or path] = first_cells(text)
    yield from compare("docs/configuration.md, sections", documented, wanted)
    for name in wanted:
        if name in documented:
            yield from compare("docs/configuration.md, keys of " + name, documented[name], messages[name])


# ---- methods ----

def check_methods():
    """Each row of docs/api.md: `Service/Method` | verb and path."""
    real = set()
    for path in glob.glob("proto/sealmill/v1/*.proto"):
        for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", read(path), re.M | re.S):
            for comment, rpc in re.findall(r"((?:^ *//.*\n)+) *rpc (\w+)\(", body, re.M):
                http = re.search(r"// *((?:GET|POST|PUT|DELETE) \S+?)\.? ", comment + " ")
                real.add("%s/%s %s" % (service, rpc, http[1] if http else "-"))
    rows = re.findall(r"^\| `(\w+/\w+)` \| (?:`([^`]*)`|-) \|", read("docs/api.md"), re.M)
    return compare("docs/api.md", ["%s %s" % (m, http or "-") for m, http in rows], real)


# ---- commands ----

def help_of(program, *words):
    return subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout


def options_of(program, command):
    text = help_of(program, *command.split())
    listed = text.split("\nOptions:\n")[1].split("\n\n")[0]
    return {name: value for name, value in re.findall(r"^  --([\w-]+)(?: ([A-Z:=]+))? ", listed, re.M)}


def man_sections():
    text = read("docs/man/sealmill.1").replace("\\-", "-")
    text = re.sub(r"\\f[BIRP]", "", text)
    parts = re.split(r"^\.S[SH] \"?(.*?)\"?$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def options_in(text):
    return dict(re.findall(r"^\.B --([\w-]+)(?: ([A-Z][A-Z:=]*))?$", text, re.M))


def check_man(program):
    """A section for each command, its options in it; those of every client in `Client options`."""
    listed = help_of(program).split("Commands:\n")[1].split("\n\n")[0]
    commands = [line[2:20].strip() for line in listed.split("\n")]
    manual = {name: text for names, text in man_sections().items() for name in names.split(", ")}
    by_hand = {n for n in manual if n[0].isupper()}
    yield from compare("docs/man/sealmill.1, commands", [n for n in manual if n not in by_hand], commands)
    for command in commands:
        real = options_of(program, command)
        client = CLIENT <= set(real)
        own = {n: v for n, v in real.items() if n != "help" and not (client and n in CLIENT)}
        text = manual.get(command, "")
        yield from compare("docs/man/sealmill.1, options of " + command, options_in(text).items(), own.items())
        if client != ("[client options]" in text):
            yield "docs/man/sealmill.1: %s %s client options" % (command, "takes" if client else "takes no")
    real = {n: v for n, v in options_of(program, "whoami").items() if n != "help"}
    yield from compare("docs/man/sealmill.1, client options", options_in(manual.get("Client options", "")).items(), real.items())


# ---- metrics ----

def documented_metrics():
    return {c for c in first_cells(read("docs/operations.md")) if c.startswith("sealmill_")}


def check_metrics():
    """Those of the sources; what a running server prints is compared too."""
    real = set()
    for path in glob.glob("*/*.c"):
        real |= set(re.findall(r'"(sealmill_[a-z0-9_]+)"', read(path))) if not path.startswith("tests/") else set()
    return compare("docs/operations.md, metrics", documented_metrics(), real)


def check_all(program):
    problems = []
    for check in (check_links, check_paths, check_indented, check_folders, check_index, check_configuration, check_methods,
                  check_metrics):
        problems += check()
    return problems + list(check_man(program))
