/* 'ragify-ctl top': a running host, live in the terminal. */
#include "command.h"
#include "top-view.h"

#include "tools/common/json-reader.h"
#include "tools/common/terminal-text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const char description[] =
    "Shows rates, latencies, hit rates, circuits, caches and jobs of a running host, again and again.\n"
    "q or Ctrl-C ends it; space looks at once. Where standard output is no terminal, and with\n"
    "--count, pictures are printed one after the other. With --json each is a line of JSON.\n"
    "\n" RAGIFY_TOOL_EXIT_HELP "\n";

typedef struct {
  double interval; /* seconds */
  int count;       /* 0: no end */
} TopOptions;

static volatile sig_atomic_t told_to_stop;

static void
on_signal (int number)
{
  told_to_stop = 1;
}

/* ---- the terminal ---- */

typedef struct {
  gboolean live;
  struct termios before;
} Screen;

static void
screen_begin (Screen *screen, gboolean live)
{
  screen->live = live;
  if (!live)
    return;
  const struct sigaction action = { .sa_handler = on_signal };
  sigaction (SIGINT, &action, NULL);
  sigaction (SIGTERM, &action, NULL);
  sigaction (SIGHUP, &action, NULL);
  if (tcgetattr (STDIN_FILENO, &screen->before) == 0) {
    struct termios raw = screen->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr (STDIN_FILENO, TCSANOW, &raw);
  }
  fputs ("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
}

static void
screen_end (const Screen *screen)
{
  if (!screen->live)
    return;
  fputs ("\033[?25h\033[?1049l", stdout);
  fflush (stdout);
  tcsetattr (STDIN_FILENO, TCSANOW, &screen->before);
}

/* As much of the text as the terminal has room for. */
static void
screen_show (const char *text)
{
  struct winsize size = { 0 };
  const gboolean known = ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
  const guint rows = known ? size.ws_row : 24, columns = known ? size.ws_col : 80;
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  fputs ("\033[H", stdout);
  for (guint i = 0; i < rows && lines[i] != NULL; i++) {
    g_autofree char *cut =
        g_utf8_strlen (lines[i], -1) > (glong)columns ? g_utf8_substring (lines[i], 0, columns) : g_strdup (lines[i]);
    printf ("%s%s\033[K", i > 0 ? "\r\n" : "", cut);
  }
  fputs ("\033[J", stdout);
  fflush (stdout);
}

/* Waits, and reads keys meanwhile. FALSE: it is to end. */
static gboolean
wait_for_next (const Screen *screen, double seconds)
{
  const gint64 until = g_get_monotonic_time () + (gint64)(seconds * G_USEC_PER_SEC);
  while (!told_to_stop) {
    const gint64 left = until - g_get_monotonic_time ();
    if (left <= 0)
      return TRUE;
    struct pollfd keys = { .fd = screen->live ? STDIN_FILENO : -1, .events = POLLIN };
    const int ready = poll (&keys, 1, (int)MIN (left / 1000 + 1, 1000));
    char key = '\0';
    if (ready <= 0 || read (STDIN_FILENO, &key, 1) != 1)
      continue;
    if (key == 'q' || key == 'Q')
      return FALSE;
    if (key == ' ' || key == '\n')
      return TRUE;
  }
  return FALSE;
}

/* ---- looking ---- */

static json_t *
ask (RagifyHttpClient *client, const char *target, gboolean needed, int *exit_code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (RagifyHttpReply) reply = ragify_http_client_send (client, "GET", target, NULL, NULL, &error);
  if (reply == NULL) {
    ragify_tool_complain ("%s", error->message);
    *exit_code = ragify_control_exit_code (error);
    return NULL;
  }
  if (!ragify_http_reply_succeeded (reply)) {
    g_autofree char *words = ragify_http_reply_describe (reply);
    if (needed) {
      ragify_tool_complain ("the server refused: %s", words);
      *exit_code = RAGIFY_TOOL_EXIT_FAILED;
    }
    return NULL;
  }
  gsize length = 0;
  const char *bytes = g_bytes_get_data (reply->body, &length);
  return ragify_json_parse_object (bytes, length, NULL);
}

/* What a picture is made of; NULL: no answer. */
static json_t *
look (RagifyHttpClient *client, int *exit_code)
{
  json_t *stats = ask (client, "/v1/stats", TRUE, exit_code);
  if (stats == NULL)
    return NULL;
  json_t *picture = json_object ();
  json_object_set_new (picture, "url", json_string (ragify_http_client_get_url (client)));
  json_object_set_new (picture, "at", json_real ((double)g_get_real_time () / G_USEC_PER_SEC));
  json_object_set_new (picture, "stats", stats);
  json_t *jobs = ask (client, "/v1/jobs", FALSE, exit_code);
  json_t *sources = ask (client, "/v1/sources", FALSE, exit_code);
  if (jobs != NULL)
    json_object_set_new (picture, "jobs", json_incref (json_object_get (jobs, "jobs")));
  if (sources != NULL)
    json_object_set_new (picture, "sources", json_incref (json_object_get (sources, "sources")));
  json_decref (jobs);
  json_decref (sources);
  return picture;
}

static void
show (const Screen *screen, gboolean json, const json_t *picture, const json_t *before)
{
  if (json) {
    json_t *summary = ragify_top_summarise (picture, before);
    char *text = json_dumps (summary, JSON_COMPACT | JSON_REAL_PRECISION (13));
    puts (text);
    fflush (stdout);
    free (text);
    json_decref (summary);
    return;
  }
  g_autofree char *text = ragify_top_format (picture, before);
  g_autofree char *printable = ragify_tool_printable (text);
  if (screen->live)
    screen_show (printable);
  else
    printf ("%s\n", printable);
  fflush (stdout);
}

static int
run (const RagifyControlOptions *control, const TopOptions *options, RagifyHttpClient *client)
{
  int exit_code = RAGIFY_TOOL_EXIT_OK;
  json_t *before = NULL, *now = look (client, &exit_code);
  if (now == NULL)
    return exit_code;
  Screen screen = { 0 };
  screen_begin (&screen, !control->json && options->count == 0 && isatty (STDOUT_FILENO) && isatty (STDIN_FILENO));
  for (int shown = 0; now != NULL; shown++) {
    show (&screen, control->json, now, before);
    if ((options->count > 0 && shown + 1 >= options->count) || !wait_for_next (&screen, options->interval))
      break;
    json_decref (before);
    before = now;
    now = look (client, &exit_code);
  }
  screen_end (&screen);
  json_decref (before);
  json_decref (now);
  return exit_code;
}

int
ragify_control_top (RagifyControlOptions *control, int argc, char **argv)
{
  TopOptions options = { .interval = 2 };
  const GOptionEntry entries[] = {
    { "interval", 'i', 0, G_OPTION_ARG_DOUBLE, &options.interval, "Seconds between two looks (default: 2)", "SECONDS" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, "Look so many times, then end (default: until told)", "N" },
    G_OPTION_ENTRY_NULL,
  };
  if (!ragify_control_parse (control, entries, "", description, &argc, &argv))
    return RAGIFY_TOOL_EXIT_USAGE;
  if (argc > 1 || options.interval < 0.1 || options.interval > 3600 || options.count < 0) {
    if (argc > 1)
      ragify_tool_complain ("top: '%s' is too much; it takes options only", argv[1]);
    else
      ragify_tool_complain ("top: expected an --interval of 0.1 to 3600 seconds, and a --count of 0 or more");
    return RAGIFY_TOOL_EXIT_USAGE;
  }
  g_autoptr (RagifyHttpClient) client = ragify_control_connect (control, 1, 10);
  return client != NULL ? run (control, &options, client) : RAGIFY_TOOL_EXIT_USAGE;
}
