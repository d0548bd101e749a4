#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What systemd does with the service, done by hand: a socket that is passed, a credential, readiness, reload, stop; and its own check of the unit."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

program = os.environ["SEALMILL"]
folder = tempfile.mkdtemp(prefix="sealmill-systemd.")
ca = folder + "/ca"
base = 10000 + os.getpid() * 10 % 20000
checks = 0


def check(good, what):
    global checks
    if not good:
        sys.exit("FAILED: " + what)
    checks += 1


def make_instance():
    log = open(folder + "/log", "ab")
    dev = subprocess.Popen([program, "dev", "--dir", ca, "--port-base", str(base)], stdout=log, stderr=log)
    for _ in range(300):
        if subprocess.run(["curl", "-fs", "http://127.0.0.1:%d/readyz" % (base + 3)], capture_output=True).returncode == 0:
            break
        time.sleep(0.1)
    dev.terminate()
    check(dev.wait(30) == 0, "a dev instance stops cleanly")
    text = open(ca + "/sealmill.yaml").read()
    text = re.sub(r"    address: 127.0.0.1:%d\n" % base, "    systemd_socket: api\n", text)
    text = text.replace("passphrase_file: keys/passphrase", "passphrase_credential: sealmill-passphrase")
    open(ca + "/sealmill.yaml", "w").write(text)
    os.mkdir(folder + "/credentials", 0o700)
    shutil.move(ca + "/keys/passphrase", folder + "/credentials/sealmill-passphrase")


def serve(passed, notify_path, extra):
    """As systemd starts a service: descriptors from 3 on, their names and the process's own number in the environment."""
    pid = os.fork()
    if pid:
        return pid
    log = os.open(folder + "/log", os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(passed.fileno(), 3)
    os.set_inheritable(3, True)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="api", NOTIFY_SOCKET=notify_path, **extra)
    os.execv(program, [program, "serve", "--config", ca + "/sealmill.yaml"])


def expect(notify, word):
    try:
        got = notify.recv(4096).decode()
    except socket.timeout:
        os.system("tail -20 " + folder + "/log")
        sys.exit("FAILED: %s was not said within its time" % word)
    check(word in got.split("\n"), "%s is said, not %r" % (word, got))


def answers():
    who = subprocess.run(
        ["curl", "-sS", "--cacert", ca + "/pki/root.pem", "--cert", ca + "/pki/ra.pem", "--key", ca + "/pki/ra.key",
         "https://127.0.0.1:%d/v1/whoami" % base], capture_output=True, text=True)
    return '"name":"ra"' in who.stdout


def run(abstract):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", base))
    listener.listen(128)
    early = socket.create_connection(("127.0.0.1", base))  # comes before the service: it is kept, not refused
    path = "@sealmill-%d" % os.getpid() if abstract else folder + "/notify"
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind("\0" + path[1:] if abstract else path)
    notify.settimeout(30)
    pid = serve(listener, path, {"CREDENTIALS_DIRECTORY": folder + "/credentials"})
    listener.close()
    expect(notify, "READY=1")
    check(answers(), "the socket that was passed is served")
    os.kill(pid, signal.SIGHUP)
    expect(notify, "RELOADING=1")
    expect(notify, "READY=1")
    check(answers(), "it is served after a reload")
    os.kill(pid, signal.SIGTERM)
    expect(notify, "STOPPING=1")
    check(os.waitpid(pid, 0)[1] == 0, "it ends without an error")
    early.close()
    notify.close()


def run_without_socket():
    env = {k: v for k, v in os.environ.items() if not k.startswith("LISTEN_")}
    env["CREDENTIALS_DIRECTORY"] = folder + "/credentials"
    done = subprocess.run([program, "serve", "--config", ca + "/sealmill.yaml"], env=env, capture_output=True, text=True, timeout=60)
    check(done.returncode == 1 and "systemd passed no socket named api" in done.stderr, "a socket that is missing is said")


def check_unit():
    if shutil.which("systemd-analyze") is None:
        print("not checked: the unit file (systemd-analyze is missing)")
        return
    unit = folder + "/sealmill.service"
    shutil.copy("tools/systemd/sealmill.service", unit)
    text = open(unit).read().replace("/usr/local/bin/sealmill", program).replace("User=sealmill", "User=daemon")
    open(unit, "w").write(text.replace("Group=sealmill", "Group=daemon"))
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    complaints = [line for line in verify.stderr.split("\n") if "sealmill.service" in line]
    check(not complaints, "systemd finds no fault with the unit: %s" % complaints)
    security = subprocess.run(["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=25", unit],
                              capture_output=True, text=True)
    check(security.returncode == 0, "the unit's exposure is 2.5 or less: %s" % security.stdout[-200:])


try:
    make_instance()
    run(abstract=False)
    run(abstract=True)
    run_without_socket()
    check_unit()
    print("%d checks passed" % checks)
finally:
    shutil.rmtree(folder)
