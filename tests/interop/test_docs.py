#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The documents against the program: every command of README.md and docs/ is run as pasted, every list is compared.

Just above a block a page may say, in an HTML comment, how the block is to be taken:
    <!-- test: server -->            a terminal of its own: it goes on until the page ends or the next such block
    <!-- test: no: REASON -->        not run
and anywhere: <!-- test: needs: PROGRAM... -->, without which the page is not run.
"""
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import docs_facts as facts  # noqa: E402

BLOCK_TIMEOUT_S = 300
PORTS = (9000, 9002, 9003)  # of the pages
CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000


class Failed(Exception):
    pass


class Shell:
    """The reader's terminal: variables, aliases and the working folder stay from one block to the next."""

    def __init__(self, folder, env, log):
        self.log, self.folder, self.count = log, folder, 0
        self.done, said = os.pipe()
        self.bash = subprocess.Popen(["bash", "--norc", "--noprofile"], cwd=folder + "/page", env=env, stdin=subprocess.PIPE,
                                     stdout=open(log, "ab"), stderr=subprocess.STDOUT, pass_fds=[said], text=True, bufsize=1)
        self.said = said
        os.close(said)
        self.tell("shopt -s expand_aliases; set -eE -o pipefail; trap 'echo \"  the command that failed: $BASH_COMMAND\"' ERR")

    def tell(self, line):
        try:
            self.bash.stdin.write(line + "\n")
        except BrokenPipeError:
            pass

    def run(self, text):
        """Returns what it printed."""
        self.count += 1
        block = "%s/block-%d" % (self.folder, self.count)
        with open(block, "w") as f:
            f.write(text)
        begin = os.path.getsize(self.log)
        self.tell(". %s </dev/null; echo >&%d" % (block, self.said))
        until = time.monotonic() + BLOCK_TIMEOUT_S
        while not select.select([self.done], [], [], 0.2)[0] or os.read(self.done, 1) == b"":
            if self.bash.poll() is not None:
                raise Failed(read_from(self.log, begin)[-3000:])
            if time.monotonic() > until:
                raise Failed("no end after %d s\n%s" % (BLOCK_TIMEOUT_S, read_from(self.log, begin)[-3000:]))
        return read_from(self.log, begin)

    def close(self):
        self.bash.kill()
        self.bash.wait()
        os.close(self.done)


def read_from(path, at):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read().decode(errors="replace")


class Server:
    """A block in a terminal of its own, until Ctrl-C."""

    def __init__(self, text, folder, env):
        self.log = folder + "/server.log"
        found = re.search(r"sealmill dev --dir (\S+)", text)
        if not found:
            raise Failed("a server block runs `sealmill dev --dir DIR`")
        with open(folder + "/server", "w") as f:
            f.write(text)
        self.process = subprocess.Popen(["bash", "-e", folder + "/server"], cwd=folder + "/page", env=env, stdin=subprocess.DEVNULL,
                                        stdout=open(self.log, "ab"), stderr=subprocess.STDOUT, start_new_session=True)
        self.wait(os.path.join(folder, "page", found[1], "env"))

    def wait(self, env):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                self.operations = re.search(r"SEALMILL_OPERATIONS_URL=(\S+)", open(env).read())[1]
                urllib.request.urlopen(self.operations + "/readyz", timeout=5).read()
                return
            except (OSError, TypeError):
                time.sleep(0.1)
        self.kill()
        raise Failed("the server is not ready\n" + read_from(self.log, 0)[-3000:])

    def metrics(self):
        text = urllib.request.urlopen(self.operations + "/metrics", timeout=10).read().decode()
        return set(re.findall(r"^# TYPE (\S+) ", text, re.M))

    def stop(self):
        os.killpg(self.process.pid, signal.SIGINT)
        if self.process.wait(60) != 0:
            raise Failed("the server ended with an error\n" + read_from(self.log, 0)[-3000:])

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def check_shown(shown, printed):
    """Each line that the page shows is printed, in this order; `...` stands for anything."""
    rest = printed.split("\n")
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("...")))
        while rest and not pattern.fullmatch(rest[0].rstrip()):
            rest.pop(0)
        if not rest:
            raise Failed("this line was not printed: %s\nbut:\n%s" % (line, printed))


def run_console(shell, text):
    """Lines after `$ ` are commands, the others what they print."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        check_shown([line for line in shown.split("\n") if line.strip()], shell.run(command + "\n"))


def check_yaml(text, folder, env):
    """A whole configuration, or sections of one."""
    if not re.search(r"^data_dir:", text, re.M):
        text = "data_dir: db\n" + ("" if re.search(r"^keys:", text, re.M) else "keys: {dir: keys, passphrase_env: P}\n") + text
    with open(folder + "/check.yaml", "w") as f:
        f.write(text)
    done = subprocess.run(["sealmill", "config", "check", "--no-files", "--config", folder + "/check.yaml"], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr)


class Page:
    def __init__(self, path, program):
        self.path = path
        self.folder = tempfile.mkdtemp(prefix="sealmill-docs.")
        os.mkdir(self.folder + "/page")
        os.mkdir(self.folder + "/bin")
        os.symlink(program, self.folder + "/bin/sealmill")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SEALMILL", "SM_", "SOFTHSM2"))}
        self.env["PATH"] = self.folder + "/bin:" + self.env["PATH"]
        self.env["HOME"] = self.folder + "/page"
        # PKCS#11 modules leak; the other tests look for our own leaks.
        self.env["LSAN_OPTIONS"] = self.env.get("LSAN_OPTIONS", "") + ":detect_leaks=0"
        self.shell = Shell(self.folder, self.env, self.folder + "/log")
        self.server = None
        self.ran = 0
        self.metrics = set()

    def take(self, block):
        if block.mark.startswith("no: ") and len(block.mark) > 10:
            return
        if block.mark == "server":
            self.end_server()
            self.server = Server(block.text, self.folder, self.env)
        elif block.mark != "":
            raise Failed("\"test: %s\" is not known" % block.mark)
        elif block.language == "sh":
            self.shell.run(block.text)
        elif block.language == "console":
            run_console(self.shell, block.text)
        elif block.language == "yaml":
            check_yaml(block.text, self.folder, self.env)
        elif block.language not in ("text", "json"):
            raise Failed("a block of no known language: \"%s\"" % block.language)
        self.ran += 1

    def end_server(self):
        if self.server is not None:
            self.metrics |= self.server.metrics()
            self.server.stop()
            self.server = None

    def run(self):
        for block in facts.blocks(self.path):
            try:
                self.take(block)
            except Failed as e:
                log = "" if self.server is None else "the server's last lines:\n" + read_from(self.server.log, 0)[-1500:]
                raise Failed("%s:%d: %s\n%s" % (self.path, block.line, e, log))
        self.end_server()

    def close(self):
        self.shell.close()
        if self.server is not None:
            self.server.kill()
        shutil.rmtree(self.folder)


def run_page(path, program):
    """How many blocks ran, and the metrics that the server had."""
    page = Page(path, program)
    try:
        page.run()
        return page.ran, page.metrics
    finally:
        page.close()


def leave_network():
    """A network of our own, so that the pages' ports are free; False: not allowed here."""
    flags = CLONE_NEWNET | (0 if os.geteuid() == 0 else CLONE_NEWUSER)
    if ctypes.CDLL(None, use_errno=True).unshare(flags) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
    return True


def is_free(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def main():
    program = os.path.abspath(os.environ["SEALMILL"])
    problems = facts.check_all(program)
    for problem in problems:
        print("FAILED: " + problem)
    if not leave_network() and not all(is_free(p) for p in PORTS):
        print("skipped: the ports of the pages are in use: %s" % (PORTS,))
        sys.exit(1 if problems else 77)
    ran, metrics = 0, set()
    only = sys.argv[1:]  # pages, by hand
    for path in only or facts.PAGES:
        missing = facts.missing_programs(path)
        if missing:
            print("not run: %s needs %s" % (path, " ".join(missing)))
            continue
        try:
            n, m = run_page(path, program)
            ran, metrics = ran + n, metrics | m
        except Failed as e:
            problems.append(str(e))
            print("FAILED: %s" % e)
    for name in [] if only else sorted(metrics - facts.documented_metrics()):
        problems.append(name)
        print("FAILED: docs/operations.md does not name the metric %s" % name)
    print("%d blocks ran, %d lists and links agree, %d problems" % (ran, facts.agreed, len(problems)))
    sys.exit(1 if problems else 0)


main()
