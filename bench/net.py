#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""net.py [ROUNDS [TURNS]] - libvhost beside DPDK's net_virtio_user, 22.11 and
24.11, in its best variant for each layout: 64-byte frames, millions a second,
against net_vhost of DPDK 22.11, each side on one core.

A machine that is shared changes its mood within seconds, so the front ends
alternate faster than that.  Each has a back end of its own, of the same program;
all but one pair are stopped (SIGSTOP), in turns of a tenth of a second, in an
order drawn anew for each turn.  The frames of a turn are counted by the back end,
so by the same counter for all.  A turn is left out, for all of them, in which the
threads of a pair waited for their cores for more than 5 % of the time ($WAITING),
or in which the hypervisor took time away.

A round is TURNS turns of each, with new processes; its ratio is that of the
medians of its turns, to the peer that is the best one of the row: the best one of
each round would be the one that was lucky.  What counts is the median of the ratios
of the rounds.

$DIRECTIONS, $LAYOUTS and $KINDS choose rows; $PEERS, what stands beside: versions
of DPDK, or directories in which another libvhost is built.  $BUILD says where
this one is.
"""
import glob
import os
import random
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TURN = 0.05
HUGE_PAGES = '/proc/sys/vm/nr_hugepages'
HUGE_PAGES_NEEDED = 700
MODES = {  # of the back end, of the front end, and what the back end counts
    'transmit': ('rxonly', 'txonly', 'RX'),
    'receive': ('txonly', 'rxonly', 'TX'),
    'loopback': ('mac', 'mac', 'TX'),
}
LAYOUTS = ['split', 'split-in-order', 'packed', 'packed-in-order']
KINDS = ['mergeable', 'plain']

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
BUILD = os.environ.get('BUILD', 'build-bench')
WAITING = float(os.environ.get('WAITING', '5')) / 100
ROOT = subprocess.check_output('tests/interop/peers.sh', text=True).strip()


def chosen(variable, values):
    return os.environ.get(variable, ' '.join(values)).split()


NAMES = ['libvhost'] + chosen('PEERS', ['22.11', '24.11'])


def program(version):
    if version == '22.11':
        return ['dpdk-testpmd']
    libs = ROOT + '/usr/lib/x86_64-linux-gnu'
    drivers = [glob.glob(f'{libs}/dpdk/pmds-*/librte_{name}.so')[0]
               for name in ('bus_vdev', 'mempool_ring', 'net_virtio')]
    return [ROOT + '/lib64/ld-linux-x86-64.so.2', '--library-path', libs,
            ROOT + '/usr/bin/dpdk-testpmd',
            *(word for driver in drivers for word in ('-d', driver))]


def variant(layout, kind):
    """What DPDK's driver is asked for: the fastest that it has for a layout."""
    packed, in_order = 'packed' in layout, 'in-order' in layout
    text = (f'packed_vq={packed:d},in_order={in_order:d},'
            f'mrg_rxbuf={kind == "mergeable":d}')
    vector = kind == 'plain' and packed == in_order
    return text + (',vectorized=1' if vector else '')


class Process:
    """One that runs on a core of its own, or is stopped."""

    def __init__(self, args):
        # A terminal: into a pipe, testpmd's answers would come in blocks.
        self.terminal, its = os.openpty()
        self.popen = subprocess.Popen(args, bufsize=0, stdin=subprocess.PIPE,
                                      stdout=its, stderr=its)
        os.close(its)

    def until(self, pattern, seconds=20):
        """What it prints, up to a pattern: its match."""
        text, end = '', time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self.terminal], [], [], 0.1)[0]:
                continue
            try:
                text += os.read(self.terminal, 65536).decode(errors='replace')
            except OSError:
                break  # it has ended
            found = re.search(pattern, text)
            if found:
                return found
        raise RuntimeError('net.py: it should print ' + pattern + ', not: ' +
                           text[-500:])

    def ask(self, command, pattern):
        self.popen.stdin.write(command.encode() + b'\n')
        return self.until(pattern)

    def waited(self):
        return sum(int(open(path).read().split()[1]) for path in
                   glob.glob(f'/proc/{self.popen.pid}/task/*/schedstat')) / 1e9

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.popen.stdin.close()
        os.close(self.terminal)


def testpmd(version, core, prefix, mode, device, own):
    return Process(program(version) + [
        '--lcores', f'(0,1)@{core}', '--no-pci', '--in-memory',
        '--single-file-segments', '-m', '128', f'--file-prefix={prefix}',
        '--no-telemetry', '--force-max-simd-bitwidth=512', '--vdev', device,
        '--', '-i', '--total-num-mbufs=8192', '--no-mlockall', '--txpkts=64',
        '--txd=256', '--rxd=256', f'--forward-mode={mode}', *own])


class Pair:
    """A back end and its front end, and the rates of its turns."""

    def __init__(self, directory, name, row):
        self.name, self.row = name, row
        self.socket = f'{directory}/{os.path.basename(name)}'
        self.prefix = f'{os.getpid()}-{os.path.basename(name)}'
        self.rates = []
        self.back = testpmd('22.11', 1, 'back' + self.prefix, MODES[row[0]][0],
                            f'net_vhost0,iface={self.socket},queues=1', [])
        self.processes = [self.back]
        self.back.ask('start', 'forwards packets')
        self.front = self.start_front()
        self.processes.append(self.front)
        # That it runs, and that it is warm.
        before = self.count()
        end = time.monotonic() + 10
        while self.count() < before + 100000:
            time.sleep(0.1)
            if time.monotonic() > end:
                self.front.until(f'nothing, as {name} moves no frames', 1)
        self.stop()

    def start_front(self):
        direction, layout, kind = self.row
        if self.name == 'libvhost' or '/' in self.name:
            build = BUILD if self.name == 'libvhost' else self.name
            args = ['taskset', '-c', '0', f'{build}/cli/vhost', 'bench',
                    'user:' + self.socket, '--' + direction, '--polling',
                    '--layout', layout, '--frame', '64', '--huge-pages',
                    '--no-progress', '--json', '--time', '3600']
            return Process(args + ([] if kind == 'mergeable'
                                   else ['--no-mergeable']))
        front = testpmd(self.name, 0, 'front' + self.prefix, MODES[direction][1],
                        f'net_virtio_user0,path={self.socket},queues=1,'
                        f'queue_size=256,{variant(layout, kind)}', [])
        # As many frames go round as do with libvhost: half a queue.
        front.ask('start tx_first 4' if direction == 'loopback' else 'start',
                  'forwards packets')
        return front

    def count(self):
        what = MODES[self.row[0]][2]
        return int(self.back.ask('show port stats 0', what +
                                 r'-packets:\s*(\d+)[^#]*Throughput')[1])

    def stop(self):
        for process in reversed(self.processes):
            process.signal(signal.SIGSTOP)

    def turn(self):
        """Runs; its rate is kept if nobody else had a part in it."""
        before, waited, taken = self.seen(), self.waited(), stolen()
        for process in self.processes:
            process.signal(signal.SIGCONT)
        since = time.monotonic()
        time.sleep(TURN)
        self.front.signal(signal.SIGSTOP)
        ran = time.monotonic() - since
        waited = self.waited() - waited
        taken = stolen() - taken
        after = self.count()
        self.back.signal(signal.SIGSTOP)
        self.last = after
        if waited <= 2 * WAITING * ran and taken == 0:
            self.rates.append((after - before) / ran / 1e6)

    def seen(self):
        """The count at the end of the turn before: it stands still since."""
        if not hasattr(self, 'last'):
            self.back.signal(signal.SIGCONT)
            self.last = self.count()
            self.back.signal(signal.SIGSTOP)
        return self.last

    def waited(self):
        return sum(process.waited() for process in self.processes)

    def kill(self):
        for process in self.processes:
            process.kill()
        for path in glob.glob(self.socket + '*'):
            os.unlink(path)


def stolen():
    """Ticks in which the hypervisor ran something else."""
    with open('/proc/stat') as stat:
        return int(stat.readline().split()[8])


def one_round(directory, row, turns):
    """The median rate of each front end; or None, if too few turns count."""
    pairs = []
    try:
        for name in random.sample(NAMES, len(NAMES)):
            pairs.append(Pair(directory, name, row))
        for _ in range(turns):
            for pair in random.sample(pairs, len(pairs)):
                pair.turn()
    finally:
        for pair in pairs:
            pair.kill()
    if any(len(pair.rates) * 5 < turns for pair in pairs):
        return None
    return [statistics.median(pair.rates)
            for pair in sorted(pairs, key=lambda pair: NAMES.index(pair.name))]


def text(values):
    return f'{statistics.median(values):5.2f}' if values else '-'


def one_row(directory, row, rounds, turns):
    done = [r for r in (one_round(directory, row, turns)
                        for _ in range(rounds)) if r]
    rates = [text([r[i] for r in done]) for i in range(len(NAMES))]
    best = max(range(1, len(NAMES)), key=lambda i: rates[i])
    ratios = [r[0] / r[best] for r in done]
    span = f'{min(ratios):.2f}..{max(ratios):.2f}' if ratios else ''
    print(f'| {" | ".join(row)} | {text(ratios)} | {span} | '
          f'{" | ".join(rates)} | {len(done)} |', flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    turns = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    before = open(HUGE_PAGES).read()
    if os.cpu_count() < 2:
        sys.exit('net.py: needs two cores')
    try:
        os.nice(-20)  # what others do now and then must wait
        if int(before) < HUGE_PAGES_NEEDED:
            with open(HUGE_PAGES, 'w') as pages:
                pages.write(str(HUGE_PAGES_NEEDED))
        print(f'| | layout | buffers | ratio | from..to | {" | ".join(NAMES)} '
              '| rounds |\n|---|---|---|---|---|---' + '|---' * len(NAMES) +
              '|', flush=True)
        with tempfile.TemporaryDirectory() as directory:
            for direction in chosen('DIRECTIONS', MODES):
                for layout in chosen('LAYOUTS', LAYOUTS):
                    for kind in chosen('KINDS', KINDS):
                        one_row(directory, (direction, layout, kind), rounds,
                                turns)
    finally:
        with open(HUGE_PAGES, 'w') as pages:
            pages.write(before)


main()
