/* ragify-plugin-test: holds a plugin against the contract.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every case runs in a process of its own, so that a crash or a hang is a finding like any other. Findings come back
 * through a pipe, a line each.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance.h"
#include "folder.h"

#define MOST_FINDINGS 20u
#define MOST_TEXTS 256u
#define REPORT_SIZE 16384u
#define DEFAULT_TIMEOUT_S 300

enum { EXIT_HOLDS = 0, EXIT_DOES_NOT = 1, EXIT_USAGE = 2 };

/* What a case's process exits with; sanitizers have codes of their own, 1 among them. */
enum { CASE_HOLDS = 0, CASE_DOES_NOT = 70, CASE_SKIPPED = 77 };

typedef struct Options {
  const char *path, *filter, *component, *sample;
  const char *fresh; /* a key of stores; NULL: none */
  const char *config[MOST_TEXTS];
  size_t config_count;
  const char *except[MOST_TEXTS]; /* "NAME=REASON" */
  size_t except_count;
  unsigned timeout_s;
  bool in_process, list, verbose;
} Options;

/* How one case went. */
typedef struct Verdict {
  bool holds, skipped;
  char *lines; /* what was found, or why it was skipped: a line each */
} Verdict;

typedef struct Run {
  const Options *options;
  const RagifyPlugin *plugin;
  pid_t process; /* that runs the cases */
  unsigned number, held, broken, skipped;
} Run;

static const Case *const component_cases[] = {
  conformance_schema_cases, conformance_life_cases,  conformance_call_cases,
  conformance_source_cases, conformance_cache_cases, conformance_store_cases,
  conformance_text_cases,   conformance_model_cases, conformance_extractor_cases,
};

/* ---- what a case says ---- */

bool
expect (Subject *subject, bool holds, const char *format, ...)
{
  if (holds)
    return true;
  if (subject->found++ >= MOST_FINDINGS)
    return false;
  char line[1024];
  va_list arguments;
  va_start (arguments, format);
  vsnprintf (line, sizeof line, format, arguments);
  va_end (arguments);
  for (char *at = line; *at != '\0'; at++)
    if (*at == '\n')
      *at = ' ';
  dprintf (subject->report, "%s\n", line);
  return false;
}

void
skip (Subject *subject, const char *reason)
{
  if (subject->found == 0 && !subject->skipped)
    dprintf (subject->report, "%s\n", reason);
  subject->skipped = true;
}

/* ---- one case ---- */

/* The texts that concern a component: "key=value", or "name.key=value" for one name only; and `fresh`, where it is not
 * empty. Ended by NULL. */
static const char **
config_of (const Options *options, const RagifyComponent *component, const char *fresh)
{
  const char **texts = calloc (options->config_count + 2, sizeof *texts);
  size_t count = 0;
  for (size_t i = 0; texts != NULL && i < options->config_count; i++) {
    const char *text = options->config[i];
    const size_t length = component != NULL ? strlen (component->name) : 0;
    const char *equals = strchr (text, '=');
    const char *dot = memchr (text, '.', equals != NULL ? (size_t)(equals - text) : strlen (text));
    if (dot == NULL)
      texts[count++] = text;
    else if (component != NULL && (size_t)(dot - text) == length && strncmp (text, component->name, length) == 0)
      texts[count++] = dot + 1;
  }
  if (texts != NULL && *fresh != '\0')
    texts[count] = fresh;
  return texts;
}

/* What a store keeps on a server is there for the next case, unless each has its own: "KEY=VALUE" with a value that no
 * other case has. Empty where nothing of the kind is wanted. */
static void
name_fresh (const Run *run, const RagifyComponent *component, char *text, size_t size)
{
  *text = '\0';
  if (run->options->fresh != NULL && component != NULL && strcmp (component->kind, RAGIFY_KIND_VECTOR_STORE) == 0)
    snprintf (text, size, "%s=case_%ld_%u", run->options->fresh, (long)run->process, run->number + 1);
}

/* The part of a case that is killed in the middle of its life. */
static void
run_killed (Subject *subject, const Killed *part)
{
  int status = 0;
  fflush (NULL);
  const pid_t child = fork ();
  if (child == 0) {
    subject->kit = subject_kit_new (subject, subject->folder, 0, 0);
    part->run (subject);
    _exit (subject->found > 0 ? CASE_DOES_NOT : CASE_HOLDS); /* neither stopped nor flushed */
  }
  waitpid (child, &status, 0);
  expect (subject, WIFEXITED (status) && WEXITSTATUS (status) == CASE_HOLDS,
          "the part of the case that is killed did not get there");
}

/* Runs a case in this process; findings go to `report`. Returns what the child exits with. */
static int
run_here (const Run *run, const RagifyComponent *component, const Case *what, int report)
{
  char *folder = folder_make ();
  char fresh[256];
  name_fresh (run, component, fresh, sizeof fresh);
  const char **config = config_of (run->options, component, fresh);
  Subject subject = {
    .path = run->options->path,
    .config = config,
    .sample = run->options->sample,
    .folder = folder,
    .verbose = run->options->verbose,
    .plugin = run->plugin,
    .component = component,
    .report = report,
  };
  for (const Killed *part = conformance_killed_parts; part->run != NULL; part++)
    if (part->before == what->run)
      run_killed (&subject, part);
  subject.kit = subject_kit_new (&subject, folder, 0, 0);
  if (ragify_kit_load (subject.kit, subject.path) != NULL || component == NULL)
    what->run (&subject);
  subject_kit_free (&subject, subject.kit);
  folder_remove (folder);
  free (config);
  if (subject.found > 0)
    return CASE_DOES_NOT;
  return subject.skipped ? CASE_SKIPPED : CASE_HOLDS;
}

static int64_t
now_ms (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads all that the child says, until it ends or its time is up. False: its time was up. */
static bool
collect (int pipe, char *text, size_t size, unsigned timeout_s)
{
  const int64_t until = now_ms () + (int64_t)timeout_s * 1000;
  size_t length = 0;
  for (;;) {
    struct pollfd fd = { .fd = pipe, .events = POLLIN };
    const int64_t left = until - now_ms ();
    if (left <= 0 || poll (&fd, 1, (int)left) == 0)
      return false;
    char piece[4096];
    const ssize_t got = read (pipe, piece, sizeof piece);
    if (got <= 0)
      return true;
    const size_t taken = (size_t)got < size - 1 - length ? (size_t)got : size - 1 - length;
    memcpy (text + length, piece, taken);
    length += taken;
    text[length] = '\0';
  }
}

static Verdict
judge (int status, bool in_time, char *lines)
{
  Verdict verdict = { .lines = lines };
  char ending[256] = "";
  if (!in_time)
    snprintf (ending, sizeof ending, "it did not come to an end in time\n");
  else if (WIFSIGNALED (status))
    snprintf (ending, sizeof ending, "the process was ended by signal %d (%s)\n", WTERMSIG (status),
              strsignal (WTERMSIG (status)));
  else if (WEXITSTATUS (status) == CASE_SKIPPED)
    verdict.skipped = true;
  else if (WEXITSTATUS (status) != CASE_HOLDS && WEXITSTATUS (status) != CASE_DOES_NOT)
    snprintf (ending, sizeof ending, "the process exited with code %d: the sanitizer's report is above\n",
              WEXITSTATUS (status));
  strncat (lines, ending, REPORT_SIZE - strlen (lines) - 1);
  verdict.holds = *ending == '\0' && WIFEXITED (status) && WEXITSTATUS (status) == CASE_HOLDS;
  return verdict;
}

static Verdict
run_apart (const Run *run, const RagifyComponent *component, const Case *what)
{
  char *lines = calloc (1, REPORT_SIZE);
  int pipes[2];
  if (lines == NULL || pipe (pipes) != 0)
    abort ();
  fflush (NULL);
  const pid_t child = fork ();
  if (child == 0) {
    free (lines); /* the parent's; a leak checker would find it */
    close (pipes[0]);
    setpgid (0, 0);
    signal (SIGPIPE, SIG_IGN);
    const int code = run_here (run, component, what, pipes[1]);
    fflush (NULL);
    exit (code); /* not _exit: a leak checker looks when the process ends */
  }
  close (pipes[1]);
  const bool in_time = collect (pipes[0], lines, REPORT_SIZE, run->options->timeout_s);
  if (!in_time)
    kill (child, SIGKILL);
  int status = 0;
  while (waitpid (child, &status, 0) < 0 && errno == EINTR)
    ;
  kill (-child, SIGKILL); /* whatever a plugin left running */
  close (pipes[0]);
  return judge (status, in_time, lines);
}

static Verdict
run_in_process (const Run *run, const RagifyComponent *component, const Case *what)
{
  char *lines = calloc (1, REPORT_SIZE);
  FILE *file = tmpfile ();
  if (lines == NULL || file == NULL)
    abort ();
  const int code = run_here (run, component, what, fileno (file));
  const ssize_t got = pread (fileno (file), lines, REPORT_SIZE - 1, 0);
  lines[got > 0 ? got : 0] = '\0';
  fclose (file);
  return (Verdict){ .holds = code == CASE_HOLDS, .skipped = code == CASE_SKIPPED, .lines = lines };
}

/* ---- all of them ---- */

static void
print_lines (const char *label, const char *lines)
{
  for (const char *line = lines; *line != '\0';) {
    const size_t length = strcspn (line, "\n");
    printf ("#   %s: %.*s\n", label, (int)length, line);
    line += length + (line[length] == '\n');
  }
}

static void
report_case (Run *run, const char *name, const Case *what, const Verdict *verdict)
{
  run->number++;
  run->held += verdict->holds;
  run->skipped += verdict->skipped;
  run->broken += !verdict->holds && !verdict->skipped;
  if (verdict->skipped) {
    printf ("ok %u - %s # SKIP %.*s\n", run->number, name, (int)strcspn (verdict->lines, "\n"), verdict->lines);
  } else {
    printf ("%s %u - %s\n", verdict->holds ? "ok" : "not ok", run->number, name);
    if (!verdict->holds) {
      printf ("#   the contract wants: %s\n", what->contract);
      print_lines ("found", verdict->lines);
      printf ("#   alone, in a debugger: ragify-plugin-test --in-process --filter '%s' %s\n", name, run->options->path);
    }
  }
  fflush (stdout);
}

static bool
is_wanted (const Options *options, const char *name)
{
  return options->filter == NULL || fnmatch (options->filter, name, 0) == 0 || strstr (name, options->filter) != NULL;
}

/* Why the case does not apply, as the command line says; NULL: it does. */
static const char *
exception_of (const Options *options, const char *name)
{
  const size_t length = strlen (name);
  for (size_t i = 0; i < options->except_count; i++)
    if (strncmp (options->except[i], name, length) == 0 && options->except[i][length] == '=')
      return options->except[i] + length + 1;
  return NULL;
}

static Verdict
run_case (const Run *run, const RagifyComponent *component, const Case *what, const char *name)
{
  const char *reason = exception_of (run->options, name);
  if (reason != NULL)
    return (Verdict){ .skipped = true, .lines = strdup (reason) };
  return run->options->in_process ? run_in_process (run, component, what) : run_apart (run, component, what);
}

static void
run_cases (Run *run, const RagifyComponent *component, const Case *cases)
{
  for (const Case *what = cases; what->name != NULL; what++) {
    char name[256];
    if (component != NULL && what->kind != NULL && strcmp (what->kind, component->kind) != 0)
      continue;
    snprintf (name, sizeof name, "%s: %s", component != NULL ? component->name : "module", what->name);
    if (!is_wanted (run->options, name))
      continue;
    if (run->options->list) {
      printf ("%s\n    %s\n", name, what->contract);
      continue;
    }
    Verdict verdict = run_case (run, component, what, name);
    report_case (run, name, what, &verdict);
    free (verdict.lines);
  }
}

static const RagifyPlugin *
load_or_say (Run *run)
{
  const RagifyKitOptions quiet = { .quiet = 1 };
  RagifyKit *kit = ragify_kit_new (&quiet);
  const RagifyPlugin *plugin = ragify_kit_load (kit, run->options->path);
  static const Case loads = { .name = "loads",
                              .contract = "a shared object with everything resolved, that exports "
                                          "ragify_plugin_query, of an ABI that this kit speaks" };
  if (plugin == NULL) {
    char line[2048];
    snprintf (line, sizeof line, "%s\n", ragify_kit_error (kit));
    const Verdict verdict = { .lines = line };
    report_case (run, "module: loads", &loads, &verdict);
  }
  ragify_kit_free (kit);
  return plugin;
}

static int
run_all (const Options *options)
{
  Run run = { .options = options, .process = getpid () };
  if (!options->list)
    printf ("TAP version 13\n");
  run.plugin = load_or_say (&run);
  if (run.plugin != NULL && options->component == NULL)
    run_cases (&run, NULL, conformance_module_cases);
  for (size_t i = 0; run.plugin != NULL && run.plugin->components[i] != NULL; i++) {
    const RagifyComponent *component = run.plugin->components[i];
    if (options->component != NULL && strcmp (options->component, component->name) != 0)
      continue;
    for (size_t k = 0; k < sizeof component_cases / sizeof component_cases[0]; k++)
      run_cases (&run, component, component_cases[k]);
  }
  if (options->list)
    return EXIT_HOLDS;
  printf ("1..%u\n# %s: %u cases hold, %u do not, %u do not apply\n", run.number, options->path, run.held, run.broken,
          run.skipped);
  if (run.number == 0)
    fprintf (stderr, "ragify-plugin-test: no case is called so; see --list\n");
  return run.broken > 0 || run.number == 0 ? EXIT_DOES_NOT : EXIT_HOLDS;
}

/* ---- the command line ---- */

static void
usage (FILE *file)
{
  fputs (
      "usage: ragify-plugin-test [OPTION…] PLUGIN.so\n\n"
      "Holds a plugin against the contract of the Ragify plugin ABI and prints TAP.\n\n"
      "  -c, --config K=V     a key of the component's configuration (repeatable); NAME.K=V: of that component only\n"
      "      --component NAME only this component\n"
      "      --fresh KEY      a key that names what a store keeps on a server: each case gets a value of its own\n"
      "      --except CASE=WHY  a case that this plugin is not held to, and why; it is a skip\n"
      "  -f, --filter TEXT    only cases whose name contains this, or matches it with * and ?\n"
      "      --in-process     do not start a process for each case: for debuggers and profilers\n"
      "      --sample FILE    what an extractor is made for (default: plain text)\n"
      "      --timeout S      seconds that one case may take (default 300)\n"
      "  -l, --list           print the cases and what they hold against\n"
      "  -v, --verbose        show what the plugin logs\n"
      "  -h, --help, --version\n\n"
      "A plugin that was built with -fsanitize=address or thread is run under it.\n"
      "Exit codes: 0 all hold; 1 some do not; 2 wrong command line.\n",
      file);
}

/* The sanitizer's library has to be the first in the process, and this program was built without it. */
static void
run_again_with_sanitizer (const char *path, char **argv)
{
  static const struct {
    const char *library, *symbol;
  } sanitizers[] = { { "libasan.so", "__asan_init" }, { "libtsan.so", "__tsan_init" } };
  for (size_t i = 0; i < sizeof sanitizers / sizeof sanitizers[0]; i++) {
    char *library = elf_needed (path, sanitizers[i].library);
    if (library != NULL && dlsym (RTLD_DEFAULT, sanitizers[i].symbol) == NULL && getenv ("RAGIFY_PRELOADED") == NULL) {
      setenv ("LD_PRELOAD", library, 1);
      setenv ("RAGIFY_PRELOADED", library, 1);
      execv ("/proc/self/exe", argv);
    }
    free (library);
  }
  unsetenv ("LD_PRELOAD");
}

static bool
take_option (Options *options, int option)
{
  switch (option) {
  case 'c':
    if (strchr (optarg, '=') == NULL || options->config_count == MOST_TEXTS) {
      fprintf (stderr, "ragify-plugin-test: --config: expected KEY=VALUE, found '%s'\n", optarg);
      return false;
    }
    options->config[options->config_count++] = optarg;
    return true;
  case 'F':
    options->fresh = optarg;
    return true;
  case 'E':
    if (strchr (optarg, '=') == NULL || options->except_count == MOST_TEXTS) {
      fprintf (stderr, "ragify-plugin-test: --except: expected CASE=WHY, found '%s'\n", optarg);
      return false;
    }
    options->except[options->except_count++] = optarg;
    return true;
  case 'f':
    options->filter = optarg;
    return true;
  case 'C':
    options->component = optarg;
    return true;
  case 'S':
    options->sample = optarg;
    return true;
  case 'T':
    options->timeout_s = (unsigned)strtoul (optarg, NULL, 10);
    return options->timeout_s > 0;
  case 'p':
    return options->in_process = true;
  case 'l':
    return options->list = true;
  case 'v':
    return options->verbose = true;
  default:
    return false;
  }
}

int
main (int argc, char **argv)
{
  static const struct option longs[] = { { "config", required_argument, NULL, 'c' },
                                         { "component", required_argument, NULL, 'C' },
                                         { "fresh", required_argument, NULL, 'F' },
                                         { "except", required_argument, NULL, 'E' },
                                         { "filter", required_argument, NULL, 'f' },
                                         { "in-process", no_argument, NULL, 'p' },
                                         { "sample", required_argument, NULL, 'S' },
                                         { "timeout", required_argument, NULL, 'T' },
                                         { "list", no_argument, NULL, 'l' },
                                         { "verbose", no_argument, NULL, 'v' },
                                         { "help", no_argument, NULL, 'h' },
                                         { "version", no_argument, NULL, 'V' },
                                         { NULL, 0, NULL, 0 } };
  static Options options = { .timeout_s = DEFAULT_TIMEOUT_S };
  for (int option = 0; (option = getopt_long (argc, argv, "c:f:lvh", longs, NULL)) != -1;) {
    if (option == 'h' || option == 'V') {
      if (option == 'h')
        usage (stdout);
      else
        printf ("ragify-plugin-test %s, plugin ABI %d.%d\n", RAGIFY_TOOLS_VERSION, RAGIFY_ABI_MAJOR, RAGIFY_ABI_MINOR);
      return EXIT_HOLDS;
    }
    if (!take_option (&options, option)) {
      usage (stderr);
      return EXIT_USAGE;
    }
  }
  if (optind + 1 != argc) {
    usage (stderr);
    return EXIT_USAGE;
  }
  char *path = realpath (argv[optind], NULL);
  if (path == NULL) {
    fprintf (stderr, "ragify-plugin-test: %s: %s\n", argv[optind], strerror (errno));
    return EXIT_USAGE;
  }
  run_again_with_sanitizer (path, argv);
  options.path = path;
  const int code = run_all (&options);
  free (path);
  return code;
}
