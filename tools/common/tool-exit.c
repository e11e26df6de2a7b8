#include "tool-exit.h"

#include <stdarg.h>
#include <stdio.h>

char *
ragify_tool_printable (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *printable = g_string_sized_new (strlen (valid));

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p)) {
    gunichar c = g_utf8_get_char (p);
    gboolean control = (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0);
    /* Bidirectional overrides can make a line read as something that it is not. */
    gboolean override = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    g_string_append_unichar (printable, control || override ? '?' : c);
  }
  return g_string_free (printable, FALSE);
}

void
ragify_tool_complain (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_autofree char *printable = ragify_tool_printable (message);
  fprintf (stderr, "%s: %s\n", g_get_prgname (), printable);
}
