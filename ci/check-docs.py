# SPDX-License-Identifier: BSD-3-Clause
"""Compares comments with prototypes, and the headers with libvhost.map."""
import glob
import re
import sys

problems = []
declared = set()


def functions(text):
    """Yields (comment, name, parameters) for each prototype of a header."""
    pattern = re.compile(
        r'(?P<comment>/\*\*(?:(?!\*/).)*\*/\s*)?'
        r'^(?P<decl>(?!typedef|static|#|extern "C"|struct [a-z_]+ \{)'
        r'[a-z][\w\s\*]*?\b(?P<name>vhost_\w+)\((?P<args>[^;{]*)\))\s*;',
        re.S | re.M)
    for m in pattern.finditer(text):
        yield m.group('comment') or '', m.group('name'), m.group('args')


def parameter_names(args):
    if args.strip() in ('', 'void'):
        return []
    return [re.findall(r'\w+', a)[-1] for a in args.split(',')]


for path in sorted(glob.glob('include/vhost/*.h')):
    text = open(path).read()
    public = re.sub(r'struct \w+ \{.*?^\};', '', text, flags=re.S | re.M)
    public = re.sub(r'typedef struct \w+ \{.*?^\} \w+;', '', public,
                    flags=re.S | re.M)
    for comment, name, args in functions(public):
        declared.add(name)
        if not re.search(r'\b%s\(\) - ' % name, comment):
            problems.append(f'{path}: {name}() has no comment that names it')
            continue
        documented = re.findall(r'@(\w+):', comment)
        real = parameter_names(args)
        for p in documented:
            if p not in real:
                problems.append(f'{path}: {name}(): comment has @{p}, '
                                'the prototype does not')
        if documented or 'see vhost_' not in comment:
            for p in real:
                if not re.search(r'@%s\b' % p, comment):
                    problems.append(f'{path}: {name}(): @{p} undocumented')
    declared.update(re.findall(r'^extern const VhostOps (\w+);', text, re.M))

exported = set(re.findall(r'^\s+(\w+);', open('libvhost.map').read(), re.M))
for name in sorted(declared - exported):
    problems.append(f'libvhost.map lacks {name}')
for name in sorted(exported - declared):
    problems.append(f'libvhost.map has {name}, no header does')

seed = open('docs/from-seed.md').read()
for name in sorted(declared):
    if name in open('include/vhost/vhost.h').read() and \
            f'`{name}`' not in seed and f'`{name}()`' not in seed:
        problems.append(f'docs/from-seed.md has no row for {name}')

# What "shown by" names must be there.
known = {re.sub(r'\.(c|sh)$', '', f.rsplit('/', 1)[1])
         for f in glob.glob('tests/*/test-*')}
for test in sorted(set(re.findall(r'`(test-[\w-]+)`', seed)) - known):
    problems.append(f'docs/from-seed.md names {test}, which is not there')

for p in problems:
    print(p)
sys.exit(bool(problems))
