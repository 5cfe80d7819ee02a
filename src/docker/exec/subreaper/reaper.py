# The same as reaper.pl, for images without perl.
import os, signal, sys

command = sys.argv[1:]
with open('/proc/self/environ', 'rb') as block:
    pairs = [pair.split(b'=', 1) for pair in block.read().split(b'\0')]
environment = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def become(reason=None):
    # Runs the command without a reaper, for a reason; where only the reason is asked for, tells it instead.
    if reason and b'ENVCTL_REAPER_PROBE' in environment:
        os.write(1, reason.encode('utf-8', 'surrogateescape'))
        os._exit(1)
    # Python ignores them from its start on.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except FileNotFoundError:
        code = 127
        why = 'no such file or directory' if '/' in command[0] else 'executable file not found in $PATH'
    except OSError as error:
        code = 126
        why = error.strerror[:1].lower() + error.strerror[1:]
    words = 'OCI runtime exec failed: exec failed: exec: "%s": %s\r\n' % (command[0], why)
    os.write(1, words.encode('utf-8', 'surrogateescape'))
    os._exit(code)


def fork():
    try:
        return os.fork()
    except OSError as error:
        become('fork: %s' % error.strerror)


def close_streams():
    os.chdir('/')
    for stream in (0, 1, 2):
        try:
            os.close(stream)
        except OSError:
            pass


def code_of(status):
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return 128 + number if number else status >> 8


try:
    import ctypes
    prctl = ctypes.CDLL(None, use_errno=True).prctl
except (ImportError, OSError, AttributeError) as error:
    become('ctypes: %s' % error)
prctl(15, b'envctl-reaper', 0, 0, 0)
terminal = os.isatty(0)
target = 0


def forward(number, _):
    if target and not (terminal and number in (signal.SIGINT, signal.SIGQUIT)):
        try:
            os.kill(target, number)
        except OSError:
            pass


signals = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT)
signals = [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]
for number in signals:
    signal.signal(number, forward)
try:
    news, report = os.pipe()
except OSError as error:
    become('pipe: %s' % error.strerror)
reaper = fork()

if not reaper:
    os.close(news)
    if prctl(36, 1, 0, 0, 0) != 0:
        become('prctl: ' + os.strerror(ctypes.get_errno()))
    child = fork()
    if not child:
        become()
    for number in signals + [signal.SIGPIPE]:
        signal.signal(number, signal.SIG_IGN)
    os.setsid()
    close_streams()

    def tell(words):
        try:
            os.write(report, words.encode())
        except OSError:
            pass

    tell('%d\n' % child)
    try:
        while True:
            ended, status = os.waitpid(-1, 0)
            if ended != child:
                continue
            more = 1
            try:
                while more:
                    more = os.waitpid(-1, os.WNOHANG)[0]
            except ChildProcessError:
                more = -1
            tell('%d %d\n' % (status, more))
    except ChildProcessError:
        os._exit(0)

target = reaper
os.close(report)
close_streams()
heard = b''
while True:
    more = os.read(news, 64)
    if not more:
        break
    heard += more
    lines = [line.split() for line in heard.split(b'\n')[:-1]]
    target = int(lines[0][0]) if lines else target
    if len(lines) > 1:
        if int(lines[1][1]) >= 0:
            os._exit(code_of(int(lines[1][0])))
        os.waitpid(reaper, 0)
        os._exit(code_of(int(lines[1][0])))
os._exit(code_of(os.waitpid(reaper, 0)[1]))
