#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct _RagifyProgress {
  char *label;
  char *unit;
  gboolean quiet;
  gboolean terminal;
  gboolean drawn;
  gint64 started; /* monotonic µs */
  gint64 shown;
};

RagifyProgress *
ragify_progress_new (const char *label, const char *unit, gboolean quiet)
{
  const char *kind = g_getenv ("TERM");
  RagifyProgress *progress = g_new0 (RagifyProgress, 1);
  progress->label = g_strdup (label);
  progress->unit = g_strdup (unit);
  progress->quiet = quiet;
  progress->terminal = isatty (STDERR_FILENO) && g_strcmp0 (kind, "dumb") != 0;
  progress->started = g_get_monotonic_time ();
  progress->shown = progress->started;
  return progress;
}

void
ragify_progress_free (RagifyProgress *progress)
{
  if (progress == NULL)
    return;
  if (progress->drawn)
    fputs ("\r\033[K", stderr);
  g_free (progress->label);
  g_free (progress->unit);
  g_free (progress);
}

char *
ragify_format_count (guint64 count)
{
  g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, count);
  gsize length = strlen (digits);
  GString *text = g_string_new (NULL);
  for (gsize i = 0; i < length; i++) {
    if (i > 0 && (length - i) % 3 == 0)
      g_string_append_c (text, ',');
    g_string_append_c (text, digits[i]);
  }
  return g_string_free (text, FALSE);
}

static void
append_time_left (GString *text, double seconds)
{
  guint64 left = (guint64)(seconds + 0.5);
  if (left >= 3600)
    g_string_append_printf (text, ", %" G_GUINT64_FORMAT ":%02u:%02u left", left / 3600, (guint)(left / 60 % 60),
                            (guint)(left % 60));
  else
    g_string_append_printf (text, ", %u:%02u left", (guint)(left / 60), (guint)(left % 60));
}

static void
append_bar (GString *text, double fraction, guint columns)
{
  guint filled = (guint)(fraction * columns);
  g_string_append (text, " [");
  for (guint i = 0; i < columns; i++)
    g_string_append_c (text, i < filled ? '#' : '.');
  g_string_append_c (text, ']');
}

char *
ragify_progress_format (const char *label, const char *unit, guint64 count, double fraction, double elapsed,
                        guint width)
{
  g_autofree char *number = ragify_format_count (count);
  g_autoptr (GString) tail = g_string_new (NULL);
  if (fraction >= 0)
    g_string_append_printf (tail, " %3u %%", (guint)(MIN (fraction, 1.0) * 100));
  g_string_append_printf (tail, "  %s %s", number, unit);
  if (elapsed > 0.5)
    g_string_append_printf (tail, ", %.0f/s", (double)count / elapsed);
  if (fraction > 0.005 && elapsed > 1)
    append_time_left (tail, elapsed * (1 - MIN (fraction, 1.0)) / fraction);

  GString *text = g_string_new (label);
  gsize used = strlen (label) + tail->len + 3;
  if (fraction >= 0 && width > used + 10)
    append_bar (text, MIN (fraction, 1.0), MIN (30, width - (guint)used));
  g_string_append (text, tail->str);
  g_string_truncate (text, MIN (text->len, width));
  return g_string_free (text, FALSE);
}

static guint
terminal_width (void)
{
  struct winsize size;
  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
    return 79;
  return size.ws_col - 1U;
}

void
ragify_progress_update (RagifyProgress *progress, guint64 count, double fraction)
{
  gint64 now = g_get_monotonic_time ();
  gint64 interval = progress->terminal ? G_USEC_PER_SEC / 10 : 5 * G_USEC_PER_SEC;
  if (progress->quiet || now - progress->shown < interval)
    return;

  progress->shown = now;
  double elapsed = (double)(now - progress->started) / G_USEC_PER_SEC;
  guint width = progress->terminal ? terminal_width () : 200;
  g_autofree char *line = ragify_progress_format (progress->label, progress->unit, count,
                                                  progress->terminal ? fraction : -1, elapsed, width);
  if (!progress->terminal && fraction >= 0)
    fprintf (stderr, "%s (%.0f %%)\n", line, fraction * 100);
  else if (!progress->terminal)
    fprintf (stderr, "%s\n", line);
  else
    fprintf (stderr, "\r%s\033[K", line);
  progress->drawn = progress->terminal;
  fflush (stderr);
}
