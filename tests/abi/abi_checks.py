#!/usr/bin/env python3
"""Checks that need no plugin to run: headers, golden layout, thread tags, abidiff, exported symbols. Prints TAP."""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

TAG = r'((?:\[(?:control|loop|worker|call|any)\])+)'


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Checks:
    def __init__(self, options):
        self.options = options
        self.include = os.path.join(options.root, 'plugin-sdk', 'include')
        self.golden = os.path.join(options.root, 'plugin-sdk', 'golden')
        self.headers = sorted(glob.glob(os.path.join(self.include, 'ragify', '*.h')))

    def text(self):
        return {os.path.basename(path): open(path, encoding='utf-8').read() for path in self.headers}

    # ---- headers -------------------------------------------------------------------------------------------------

    def headers_are_clean(self):
        """Every header alone compiles under C99, C11 and C++17 with -Wall -Wextra -pedantic -Werror"""
        problems = []
        for language, standard, compiler in (('c', 'c99', self.options.cc), ('c', 'c11', self.options.cc),
                                             ('c++', 'c++17', self.options.cxx)):
            for path in self.headers:
                source = f'#include <ragify/{os.path.basename(path)}>\n#include <ragify/{os.path.basename(path)}>\n'
                if language == 'c':
                    source += 'int ragify_some_symbol;\n'
                done = subprocess.run([compiler, '-x', language, f'-std={standard}', '-Wall', '-Wextra', '-pedantic', '-Wshadow',
                                       '-Wundef', '-Werror', '-fsyntax-only', '-I', self.include, '-'],
                                      input=source, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    problems.append(f'{os.path.basename(path)} under {standard}: {done.stderr.strip()}')
        return problems

    def headers_need_only_stdint_and_stddef(self):
        """The headers include nothing but <stdint.h>, <stddef.h> and each other, and use no bool, enum or bit-field"""
        problems = []
        for name, text in self.text().items():
            for include in re.findall(r'#include\s+(\S+)', text):
                if include not in ('<stdint.h>', '<stddef.h>') and not (include.startswith('"') and '/' not in include):
                    problems.append(f'{name} includes {include}')
            code = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
            for what in re.findall(r'\b(bool|enum|long|g[a-z]+8|GList|gchar|size_t)\b(?! size\))', code):
                if what != 'size_t':
                    problems.append(f'{name} uses {what}')
            problems += [f'{name}: a bit-field: {field}' for field in re.findall(r'\w+ \w+ : \d+;', code)]
        return problems

    def structs_are_all_described(self):
        """Every struct that a header defines is in the table"""
        described = {line.split('.')[0] for line in self.dump('layout') if '.' in line}
        defined = set()
        for text in self.text().values():
            defined |= set(re.findall(r'struct (Ragify\w+) \{', text))
        return [f'{name} is not in plugin-sdk/describe' for name in sorted(defined - described)]

    def tags_are_those_of_the_headers(self):
        """The thread tag of every function in the table stands beside it in the header"""
        in_headers = {}
        for text in self.text().values():
            for struct, body in re.findall(r'struct (Ragify\w+) \{\n(.*?)\n\}', text, flags=re.S):
                in_headers.update({f'{struct}.{name}': tag for name, tag in self.read_tags(body)})
        problems = []
        for line in self.dump('tags'):
            name, tag = line.split()
            if name not in in_headers:
                problems.append(f'{name} is not in the headers')
            elif not name.startswith('RagifyBuffer.') and in_headers[name] != tag:
                problems.append(f'{name}: the table says {tag}, the header {in_headers[name]}')
        return problems

    @staticmethod
    def read_tags(body):
        """Each function with its tag: behind it on its line, or else the last one before it"""
        last, end = None, 0
        for match in re.finditer(r'\(\*(\w+)\) \([^;]*;[ \t]*(/\*.*?\*/)?', body, flags=re.S):
            before = re.findall(TAG, body[end:match.start()])
            own = re.search(TAG, match.group(2) or '')
            last = own.group(1) if own else before[0] if before else last
            end = match.end()
            yield match.group(1), last

    # ---- golden layout -------------------------------------------------------------------------------------------

    def dump(self, what):
        done = run(self.options.dump, what)
        if done.returncode != 0:
            raise RuntimeError(f'{self.options.dump}: {done.stderr}')
        return done.stdout.splitlines()

    def layout(self):
        lines = self.dump('layout')
        for name, text in self.text().items():
            for constant, value in re.findall(r'^#define (RAGIFY_[A-Z0-9_]+) +("[^"]*"|0x[0-9a-fA-F]+u?|\d+u?)(?= |$)', text,
                                              flags=re.M):
                if constant not in ('RAGIFY_ABI_MINOR', 'RAGIFY_NEEDS_MINOR'):
                    lines.append(f'{constant} is {value}')
        lines += ['operation ' + line for line in self.dump('operations')]
        return lines

    def golden_lines(self):
        with open(os.path.join(self.golden, 'abi-1.0.txt'), encoding='utf-8') as file:
            return file.read().splitlines()

    def layout_is_golden(self):
        """Every line of the golden layout still holds, and nothing new is missing from it"""
        golden, now = self.golden_lines(), self.layout()
        problems = [f'changed or gone: {line}' for line in golden if line not in now]
        return problems + [f'new: {line} (see plugin-sdk/golden/README.md)' for line in now if line not in golden]

    def renew(self, before_release):
        path = os.path.join(self.golden, 'abi-1.0.txt')
        now = self.layout()
        golden = self.golden_lines() if os.path.exists(path) and not before_release else []
        lost = [line for line in golden if line not in now]
        if lost:
            print('these lines of the golden layout no longer hold:', *lost, sep='\n  ', file=sys.stderr)
            return 1
        with open(path, 'w', encoding='utf-8') as file:
            file.writelines(line + '\n' for line in golden + [line for line in now if line not in golden])
        if before_release:
            snapshot = os.path.join(self.golden, '1.0', 'include', 'ragify')
            os.makedirs(snapshot, exist_ok=True)
            for header in self.headers:
                shutil.copy(header, snapshot)
        return 0

    # ---- abidiff -------------------------------------------------------------------------------------------------

    def build_witness(self, include, output):
        done = run(self.options.cc, '-shared', '-fPIC', '-g', '-std=c11', '-I', include,
                   '-I', os.path.join(self.options.root, 'plugin-sdk', 'describe'), '-o', output,
                   os.path.join(self.golden, 'witness.c'))
        return done.stderr if done.returncode != 0 else None

    def abidiff(self, old_include, new_include):
        with tempfile.TemporaryDirectory() as folder:
            old, new = os.path.join(folder, 'old.so'), os.path.join(folder, 'new.so')
            for include, output in ((old_include, old), (new_include, new)):
                error = self.build_witness(include, output)
                if error is not None:
                    return [error]
            done = run('abidiff', old, new)
            return [] if done.returncode == 0 else self.more_than_growth(done.stdout or done.stderr)

    # What abidiff says of a struct that grew behind its end. Its own suppressions hide reordering along with growth.
    GROWTH = (r"\[C\] 'function void witness_\w+", r"parameter 1 of type '", r"in pointed to type '", r"in unqualified underlying type '",
              r"underlying type 'struct \w+' at .* changed:", r'\d+ data member insertions?:', r'\d+ functions? with some',
              r'(Functions|Variables) changes summary: 0 Removed.* 0 Added')

    def more_than_growth(self, report):
        problems, size = [], None
        for line in map(str.strip, report.splitlines()):
            grown = re.match(r'type size changed from (\d+) to (\d+) ', line)
            inserted = re.match(r"'.*', at offset (\d+) \(in bits\)", line)
            if grown and int(grown.group(2)) > int(grown.group(1)):
                size = int(grown.group(1))
            elif inserted and size is not None and int(inserted.group(1)) >= size:
                continue
            elif line and not any(re.match(pattern, line) for pattern in self.GROWTH):
                problems.append(line)
        return problems

    def abidiff_finds_no_change(self):
        """abidiff finds nothing that an old plugin would notice"""
        if shutil.which('abidiff') is None:
            return 'abidiff is not installed'
        return self.abidiff(os.path.join(self.golden, '1.0', 'include'), self.include)

    BREAKS = (
        ('a member inserted', 'base.h', '  RagifyStr title;\n', '  uint64_t inserted;\n  RagifyStr title;\n'),
        ('members in another order', 'base.h', '  RagifyStr content;\n  RagifyStr title;\n', '  RagifyStr title;\n  RagifyStr content;\n'),
        ('a member of another type', 'base.h', '  int64_t created_at;', '  double created_at;'),
        ('a member removed', 'base.h', '  double score; ', '  /* score */ '),
        ('a function moved', 'cache.h', None, None),
        ('a struct shrunk', 'base.h', '  uint32_t reserved;\n} RagifyHit;', '} RagifyHit;'),
        ('a constant changed', 'base.h', '#define RAGIFY_E_TIMEOUT 4', '#define RAGIFY_E_TIMEOUT 5'),
        ('a value of an enumeration changed', 'plugin.h', '#define RAGIFY_RUN_WORKER 3u', '#define RAGIFY_RUN_WORKER 4u'),
        ('a kind renamed', 'cache.h', '"ragify.cache/1"', '"ragify.cache/2"'),
    )

    GROWN = ('} RagifyChunk;', '  uint64_t later;\n} RagifyChunk;')

    def break_headers(self, folder, what, file, old, new):
        include = os.path.join(folder, 'include')
        shutil.copytree(self.include, include)
        path = os.path.join(include, 'ragify', file)
        with open(path, encoding='utf-8') as source:
            text = source.read()
        if what == 'a function moved':
            get, put = [line for line in text.splitlines() if re.match(r'  void \(\*(get|set)\)', line)]
            text = text.replace(get + '\n' + put, put + '\n' + get)
        else:
            assert old in text, f'{what}: the headers no longer have {old!r}'
            text = text.replace(old, new, 1)
        with open(path, 'w', encoding='utf-8') as target:
            target.write(text)
        return include

    def guards_catch_deliberate_breaks(self):
        """A member inserted, reordered, retyped or removed, a function moved, a struct shrunk, a number changed: each is caught; growth is not"""
        problems = []
        print('# | deliberate break | golden layout | abidiff |')
        if shutil.which('abidiff'):
            with tempfile.TemporaryDirectory() as folder:
                grown = self.break_headers(folder, 'growth', 'base.h', *self.GROWN)
                problems += [f'growth at the end is taken for a break: {line}' for line in self.abidiff(self.include, grown)]
        for what, file, old, new in self.BREAKS:
            with tempfile.TemporaryDirectory() as folder:
                include = self.break_headers(folder, what, file, old, new)
                dump = os.path.join(folder, 'dump')
                sources = glob.glob(os.path.join(self.options.root, 'plugin-sdk', 'describe', '*.c'))
                built = run(self.options.cc, '-std=gnu11', '-I', include, '-o', dump, *sources)
                broken = Checks(argparse.Namespace(**{**vars(self.options), 'dump': dump}))
                broken.headers = sorted(glob.glob(os.path.join(include, 'ragify', '*.h')))
                # A table that no longer compiles is the loudest of all.
                layout = 'does not compile' if built.returncode != 0 else 'caught' if broken.layout_is_golden() else 'SILENT'
                # Numbers leave no trace in debug information.
                number = new is not None and new.startswith(('#define', '"'))
                differs = shutil.which('abidiff') and not number and self.abidiff(self.include, include)
                abidiff = 'caught' if differs else 'cannot see numbers' if number else 'SILENT' if shutil.which('abidiff') else 'not here'
                print(f'# | {what} | {layout} | {abidiff} |')
                if layout == 'SILENT':
                    problems.append(f'{what}: the golden layout does not notice')
                if abidiff == 'SILENT':
                    problems.append(f'{what}: abidiff does not notice')
        return problems

    # ---- what is written from the headers ------------------------------------------------------------------------

    def generator(self, *parts):
        return os.path.join(self.options.root, 'plugin-sdk', *parts)

    def reference_is_whole_and_current(self):
        """docs/plugin-reference.md is as written from the headers; every function has ownership, errors and an example"""
        done = run(sys.executable, self.generator('reference', 'generate'), '--check')
        return done.stderr.splitlines() if done.returncode != 0 else []

    def examples_compile(self):
        """Every example of the reference compiles, as C11 and as C++17"""
        problems = []
        text = run(sys.executable, self.generator('reference', 'generate'), '--examples').stdout
        for language, standard, compiler in (('c', 'c11', self.options.cc), ('c++', 'c++17', self.options.cxx)):
            done = subprocess.run([compiler, '-x', language, f'-std={standard}', '-Wall', '-Werror', '-Wno-unused-but-set-parameter',
                                   '-fsyntax-only', '-I', self.include, '-'], input=text, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                problems.append(done.stderr)
        return problems

    def rust_bindings_are_current(self):
        """plugin-sdk/template/ragify_sys.rs is as plugin-sdk/rust/bindings writes it"""
        done = run(sys.executable, self.generator('rust', 'bindings'), self.include)
        with open(self.generator('template', 'ragify_sys.rs'), encoding='utf-8') as file:
            return [] if done.stdout == file.read() else ['run plugin-sdk/rust/bindings plugin-sdk/include >plugin-sdk/template/ragify_sys.rs']

    # ---- plugins -------------------------------------------------------------------------------------------------

    def plugins_export_one_symbol(self):
        """Every shipped plugin exports ragify_plugin_query and nothing else"""
        problems = []
        for path in self.options.plugins:
            done = run('nm', '-D', '--defined-only', path)
            names = sorted(line.split()[-1] for line in done.stdout.splitlines())
            if names != ['ragify_plugin_query']:
                problems.append(f'{os.path.basename(path)} exports {", ".join(names) or done.stderr or "nothing"}')
        return problems if self.options.plugins else 'no plugin was built'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('what', nargs='?', default='check')
    parser.add_argument('--root', required=True)
    parser.add_argument('--dump', required=True)
    parser.add_argument('--cc', default='cc')
    parser.add_argument('--cxx', default='c++')
    parser.add_argument('--plugins', nargs='*', default=[])
    checks = Checks(parser.parse_args())
    if checks.options.what.startswith('renew'):
        return checks.renew(checks.options.what == 'renew-before')
    methods = [checks.headers_are_clean, checks.headers_need_only_stdint_and_stddef, checks.structs_are_all_described,
               checks.tags_are_those_of_the_headers, checks.layout_is_golden, checks.abidiff_finds_no_change,
               checks.guards_catch_deliberate_breaks, checks.reference_is_whole_and_current, checks.examples_compile,
               checks.rust_bindings_are_current, checks.plugins_export_one_symbol]
    print(f'1..{len(methods)}')
    failed = 0
    for number, method in enumerate(methods, 1):
        problems = method()
        skipped = isinstance(problems, str)
        failed += bool(problems) and not skipped
        print(f'{"ok" if skipped or not problems else "not ok"} {number} - {method.__doc__}' +
              (f' # SKIP {problems}' if skipped else ''))
        for problem in [] if skipped else problems:
            print(*(f'# {line}' for line in problem.splitlines()), sep='\n')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
