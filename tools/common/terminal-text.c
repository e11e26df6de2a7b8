#include "terminal-text.h"

#include "tool-exit.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

guint
ragify_terminal_width (void)
{
  struct winsize size;
  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
    return 100;
  return size.ws_col;
}

char *
ragify_terminal_text_wrap (const char *text, guint width, guint indent, guint lines)
{
  g_auto (GStrv) words = g_strsplit_set (text, " \t\r\n", -1);
  GString *wrapped = g_string_new (NULL);
  glong column = 0; /* 0: at the start of a line */
  guint line = 1;

  for (gsize i = 0; words[i] != NULL; i++) {
    glong length = g_utf8_strlen (words[i], -1);
    if (length == 0)
      continue;
    if (column > 0 && column + 1 + length > (glong)width) {
      if (lines > 0 && line == lines) {
        g_string_append (wrapped, " …");
        return g_string_free (wrapped, FALSE);
      }
      g_string_append_c (wrapped, '\n');
      column = 0;
      line++;
    }
    if (column == 0)
      g_string_append_printf (wrapped, "%*s", (int)indent, "");
    else
      g_string_append_c (wrapped, ' ');
    g_string_append (wrapped, words[i]);
    column = (column == 0 ? (glong)indent : column + 1) + length;
  }
  return g_string_free (wrapped, FALSE);
}

static void append_value (GString *text, const json_t *value, guint indent);

static void
append_scalar (GString *text, const json_t *value)
{
  switch (json_typeof (value)) {
  case JSON_STRING: {
    g_autofree char *printable = ragify_tool_printable (json_string_value (value));
    g_string_append (text, printable);
    return;
  }
  case JSON_INTEGER:
    g_string_append_printf (text, "%" G_GINT64_FORMAT, (gint64)json_integer_value (value));
    return;
  case JSON_REAL:
    g_string_append_printf (text, "%.6g", json_real_value (value));
    return;
  case JSON_TRUE:
    g_string_append (text, "yes");
    return;
  case JSON_FALSE:
    g_string_append (text, "no");
    return;
  default:
    g_string_append (text, "-");
    return;
  }
}

static void
append_member (GString *text, const char *name, const json_t *value, guint indent)
{
  gboolean nested = (json_is_object (value) && json_object_size (value) > 0) ||
                    (json_is_array (value) && json_array_size (value) > 0);
  g_autofree char *printable = ragify_tool_printable (name);
  if (text->len > 0)
    g_string_append_c (text, '\n');
  g_string_append_printf (text, "%*s%s:", (int)indent, "", printable);
  if (nested)
    append_value (text, value, indent + 2);
  else if (!json_is_object (value) && !json_is_array (value)) {
    g_string_append_c (text, ' ');
    append_scalar (text, value);
  }
}

static void
append_value (GString *text, const json_t *value, guint indent)
{
  if (json_is_object (value)) {
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)value, name, member) append_member (text, name, member, indent);
    return;
  }
  for (gsize i = 0; i < json_array_size (value); i++) {
    g_autofree char *number = g_strdup_printf ("%" G_GSIZE_FORMAT, i + 1);
    append_member (text, number, json_array_get (value, i), indent);
  }
}

char *
ragify_terminal_text_from_json (const json_t *value, guint indent)
{
  GString *text = g_string_new (NULL);
  if (json_is_object (value) || json_is_array (value))
    append_value (text, value, indent);
  else if (value != NULL)
    append_scalar (text, value);
  return g_string_free (text, FALSE);
}
