# Runs a command and adopts the processes that the command leaves, so that none becomes a child of process 1.
# The engine starts process A. A starts the reaper B, a child subreaper, and B starts the command.
# A ends when the command ends, with its code. B lives until B has no descendant, and ends with code 0.

# The numbers of prctl and setsid, by the machine in the header of an ELF file:
# x86_64, aarch64, i386, arm, ppc64, s390x, riscv, loongarch.
my %calls = (62 => [157, 112], 183 => [167, 157], 3 => [172, 66], 40 => [172, 66], 21 => [171, 66],
  22 => [172, 66], 243 => [167, 157], 258 => [167, 157]);
open(my $elf, '<:raw', '/proc/self/exe');
read($elf, my $head, 20);
close $elf;
my $machine = unpack(ord(substr($head, 5)) == 2 ? 'n' : 'v', substr($head, 18));
my ($prctl, $setsid) = @{$calls{$machine} || []};

# Variables that perl itself would read: A got other values.
for my $name ('PERL_BADLANG', 'PERL5OPT') {
  delete $ENV{$name};
  my $kept = delete $ENV{"ENVCTL_KEPT_$name"};
  $ENV{$name} = $kept if defined $kept;
}

# Runs the command without a reaper, for a reason; where only the reason is asked for, tells it instead.
sub become {
  my $reason = shift;
  if (defined $reason && $ENV{ENVCTL_REAPER_PROBE}) {
    syswrite(STDOUT, $reason);
    exit 1;
  }
  exec { $ARGV[0] } @ARGV;
  my ($code, $why) = $! == 2 ? (127, $ARGV[0] =~ m{/} ? 'no such file or directory' : 'executable file not found in $PATH')
    : (126, lcfirst "$!");
  # The engine reports a failed start with the same words on the same stream.
  syswrite(STDOUT, "OCI runtime exec failed: exec failed: exec: \"$ARGV[0]\": $why\r\n");
  exit $code;
}

become("machine $machine is not known") unless $prctl;
$0 = 'envctl-reaper';
my ($terminal, $command) = (-t STDIN, 0);
# The command gets the signals that are sent to A. A terminal sends INT and QUIT to both.
sub forward { kill $_[0], $command if $command && !($terminal && $_[0] =~ /INT|QUIT/) }
my @signals = grep { ($SIG{$_} || '') ne 'IGNORE' } 'HUP', 'TERM', 'USR1', 'USR2', 'INT', 'QUIT';
$SIG{$_} = \&forward for @signals;
pipe(my $news, my $report) or become("pipe: $!");
my $reaper = fork;
become("fork: $!") unless defined $reaper;

if (!$reaper) {
  close $news;
  become("prctl: $!") if syscall($prctl, 36, 1, 0, 0, 0) != 0;
  my $child = fork;
  become(defined $child ? undef : "fork: $!") unless $child;
  $SIG{$_} = 'IGNORE' for @signals, 'PIPE';
  # In a session of its own, B gets no signal of the terminal, and a stopped job of an ended shell is orphaned as
  # it is without B: the kernel ends it.
  syscall($setsid);
  chdir '/';
  close $_ for \*STDIN, \*STDOUT, \*STDERR;
  syswrite($report, "$child\n");
  while (1) {
    my $ended = waitpid(-1, 0);
    exit 0 if $ended < 0 && $! != 4;
    next if $ended != $child;
    my ($status, $more) = ($?, 0);
    1 while ($more = waitpid(-1, 1)) > 0;
    syswrite($report, "$status $more\n");
  }
}

$command = $reaper;
close $report;
chdir '/';
close $_ for \*STDIN, \*STDOUT, \*STDERR;
my ($heard, $status) = ('');
while (1) {
  my $length = sysread($news, $heard, 64, length $heard);
  next if !defined $length && $! == 4;
  last if !$length;
  $command = $1 if $heard =~ /^(\d+)\n/;
  next unless $heard =~ /^(\d+) (-?\d+)\n/m;
  $status = $1;
  last if $2 < 0;
  # Descendants are left: B goes on without A.
  exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
}
1 while waitpid($reaper, 0) < 0 && $! == 4;
$status = $? unless defined $status;
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);
